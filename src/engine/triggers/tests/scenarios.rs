//! What happens in a shop, case by case, and what must be said.

use super::*;

#[test]
fn silence_fires_once() {
    check(
        "00:00 ann a1 add shoe
         00:10 ann a2 view
         60:15 bob b1 look
         60:16 bob b2 look
         99:00 bob b3 look",
        "fire ann a1 inactivity 60:10",
    );
}

#[test]
fn the_watermark_must_reach_the_deadline() {
    check("00:00 ann a1 add shoe\n60:04.999 bob b1 look", "");
    check(
        "00:00 ann a1 add shoe\n60:05 bob b1 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_purchase_suppresses() {
    check(
        "00:00 ann a1 add shoe
         20:00 ann a2 purchase shoe
         90:00 bob b1 look",
        "suppressed ann a1 purchased 60:00",
    );
}

#[test]
fn an_emptied_cart_suppresses_and_a_refilled_one_is_another_episode() {
    check(
        "00:00 ann a1 add shoe x2
         01:00 ann a2 remove shoe x1
         02:00 ann a3 remove shoe
         03:00 ann a4 add sock
         63:05 bob b1 look",
        "suppressed ann a1 cart_emptied 61:00
         fire ann a4 inactivity 63:00",
    );
}

#[test]
fn whole_carts_drive_the_episode_too() {
    check(
        "00:00 ann a1 update shoe sock
         01:00 ann a2 update sock
         02:00 ann a3 update
         03:00 ann a4 update sock
         63:05 bob b1 look",
        "suppressed ann a1 cart_emptied 61:00
         fire ann a4 inactivity 63:00",
    );
}

#[test]
fn a_purchase_at_the_deadline_counts_before_the_fire() {
    check(
        "00:00 ann a1 add shoe
         60:00 ann a2 purchase
         90:00 bob b1 look",
        "suppressed ann a1 purchased 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         60:00.001 ann a2 purchase
         90:00 bob b1 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn signs_of_life_are_those_declared() {
    let rule = CartAbandonment {
        reset_on: vec![EventKind::CartView],
        ..CartAbandonment::default()
    };
    check_with(
        &Config::default(),
        rule,
        "00:00 ann a1 add shoe
         10:00 ann a2 add sock
         20:00 ann a3 view
         30:00 ann a4 checkout
         99:00 bob b1 look",
        "fire ann a1 inactivity 80:00",
    );
}

#[test]
fn the_checkout_leaves_a_quarter_of_an_hour() {
    check(
        "00:00 ann a1 add shoe
         44:59 ann a2 checkout
         60:05 bob b1 look",
        "fire ann a1 inactivity 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         45:01 ann a2 checkout
         60:05 bob b1 look
         60:06 bob b2 look",
        "fire ann a1 inactivity 60:01",
    );
}

#[test]
fn every_order_of_arrival_within_the_bound_says_the_same() {
    let early = records(
        "00:01 ann a1 add shoe
         00:02 ann a2 remove shoe
         00:03 ann a3 add sock
         00:03.5 bob b1 add sock
         00:04 ann a4 purchase
         00:05.9 ann a5 add shoe",
    );
    let rest = records("60:10.9 zoe z1 look\n61:10 zoe z2 look");
    let expected = [
        "suppressed ann a1 cart_emptied 60:01",
        "suppressed ann a3 purchased 60:03",
        "fire bob b1 inactivity 60:03",
        "fire ann a5 inactivity 60:05",
    ];
    let mut order: Vec<usize> = (0..early.len()).collect();
    let mut tried = 0;
    permute(&mut order, 0, &mut |order| {
        let mut records: Vec<Record> = order.iter().map(|&place| early[place].clone()).collect();
        records.extend_from_slice(&rest);
        let shop = run(&Config::default(), &Rules::default(), &records);
        assert_eq!(shop.said(), expected, "{order:?}");
        tried += 1;
    });
    assert_eq!(tried, 720);
}

fn permute(order: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for place in from..order.len() {
        order.swap(from, place);
        permute(order, from + 1, each);
        order.swap(from, place);
    }
}

#[test]
fn events_of_one_time_go_by_their_keys() {
    let both = ["00:00 ann a1 add shoe", "00:00 ann a2 add sock"];
    let episode = |texts: [&str; 2]| {
        let text = format!("{}\n{}\n90:00 bob b1 look", texts[0], texts[1]);
        run(&Config::default(), &Rules::default(), &records(&text)).said()
    };
    assert_eq!(episode(both), episode([both[1], both[0]]));
}

#[test]
fn fires_go_by_deadline_then_by_the_shoppers_ids() {
    check(
        "00:00 zoe z1 add shoe
         00:00 bob b1 add shoe
         00:00 ann a1 add shoe
         00:00 ann2 c1 add shoe
         00:01 abe d1 add shoe
         90:00 eve e1 look",
        "fire ann a1 inactivity 60:00
         fire ann2 c1 inactivity 60:00
         fire bob b1 inactivity 60:00
         fire zoe z1 inactivity 60:00
         fire abe d1 inactivity 60:01",
    );
}

#[test]
fn a_late_purchase_cancels() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         60:00 ann a2 purchase
         80:00 bob b2 look",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
}

#[test]
fn a_purchase_that_was_long_on_its_way_cancels_within_the_grace_after_firing() {
    check(
        "00:00 ann a1 add shoe
         70:05 bob b1 look
         05:00 ann a2 purchase",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         70:05 bob b2 look
         05:00 ann a2 purchase",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         70:05.001 bob b2 look
         05:00 ann a2 purchase
         71:00 bob b3 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_late_removal_cancels_only_what_it_empties() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         59:00 ann a2 remove shoe
         60:06 ann a3 add shoe
         90:00 bob b2 look
         120:20 bob b3 look",
        "fire ann a1 inactivity 60:00
         cancel ann a1 cart_emptied 60:00
         fire ann a3 inactivity 120:06",
    );
    check(
        "00:00 ann a1 add shoe
         00:01 ann a2 add sock
         60:06 bob b1 look
         59:00 ann a3 remove shoe
         90:00 bob b2 look",
        "fire ann a1 inactivity 60:01",
    );
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         60:06 ann a2 add sock
         60:20 bob b2 look
         59:00 ann a3 remove shoe
         90:00 bob b3 look",
        "fire ann a1 inactivity 60:00
         cancel ann a1 cart_emptied 60:00",
    );
}

#[test]
fn a_purchase_after_the_deadline_cancels_nothing() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         60:05 ann a2 purchase
         90:00 bob b2 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_late_purchase_cancels_even_when_another_closed_the_cart_since() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         60:06 ann a2 purchase
         60:20 bob b2 look
         59:00 ann a3 purchase
         58:00 ann a4 purchase
         90:00 bob b3 look",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
}

#[test]
fn a_purchase_from_before_the_episode_concerns_an_earlier_cart() {
    check(
        "10:00 ann a1 add shoe
         12:00 bob b1 look
         09:00 ann a2 purchase
         90:00 bob b2 look",
        "fire ann a1 inactivity 70:00",
    );
}

#[test]
fn a_late_addition_to_a_cart_that_was_bought_opens_nothing() {
    check(
        "00:00 ann a1 add shoe
         10:00 ann a2 purchase
         12:00 bob b1 look
         09:00 ann a3 add sock
         90:00 bob b2 look",
        "suppressed ann a1 purchased 60:00",
    );
}

#[test]
fn a_purchase_of_an_earlier_cart_still_covers_what_was_added_before_it() {
    check(
        "10:00 ann a1 add shoe
         10:10 bob b1 look
         09:00 ann a2 purchase
         10:20 ann a3 remove shoe
         10:30 bob b2 look
         08:30 ann a4 add sock
         90:00 bob b3 look",
        "suppressed ann a1 cart_emptied 70:00",
    );
}

#[test]
fn late_by_more_than_the_grace_opens_nothing_but_may_end() {
    check(
        "00:00 bob b1 look
         30:00 bob b2 look
         10:00 ann a1 add shoe
         90:00 bob b3 look",
        "",
    );
    check(
        "00:00 ann a1 add shoe
         30:00 bob b2 look
         10:00 ann a2 view
         11:00 ann a3 purchase
         90:00 bob b3 look",
        "suppressed ann a1 purchased 60:00",
    );
}

#[test]
fn an_old_whole_cart_does_not_undo_later_changes() {
    check(
        "00:00 ann a1 add shoe
         10:00 ann a2 add sock
         12:00 bob b1 look
         09:00 ann a3 update shoe
         13:00 ann a4 remove shoe
         90:00 bob b2 look",
        "fire ann a1 inactivity 73:00",
    );
}

#[test]
fn duplicates_say_nothing() {
    check(
        "00:00 ann a1 add shoe
         00:00 ann a1 add shoe
         60:05 bob b1 look
         00:00 ann a1 add shoe
         60:05 bob b1 look
         61:00 ann a2 remove shoe x1
         90:00 bob b2 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn the_return_of_an_opening_event_after_the_dedup_window_fires_nothing() {
    let day = 24 * 60;
    check(
        &format!(
            "00:00 ann a1 add shoe
             90:00 ann a2 purchase
             {0}:00 bob b1 look
             {1}:00 bob b2 look
             {1}:01 ann a1 add shoe
             {2}:00 bob b3 look",
            day,
            2 * day,
            3 * day
        ),
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_caught_up_tick_fires_for_the_last_shopper() {
    check(
        "00:00 tick
         00:00 ann a1 add shoe
         60:04 idle
         60:05 idle",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_tick_that_is_not_caught_up_fires_nothing() {
    check(
        "00:00 tick\n00:00 ann a1 add shoe\n90:00 tick\n600:00 tick",
        "",
    );
}

#[test]
fn what_is_overdue_for_too_long_expires() {
    check(
        "00:00 ann a1 add shoe
         1500:05 idle",
        "fire ann a1 inactivity 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         1500:06 idle
         1500:07 ann a2 add sock
         1700:00 idle",
        "expired ann a1 stale 60:00",
    );
}

#[test]
fn a_cart_below_the_minimum_waits_for_its_next_change() {
    let rule = CartAbandonment {
        minimum_value: Money::from_units(20.0).unwrap(),
        ..CartAbandonment::default()
    };
    check_with(
        &Config::default(),
        rule,
        "00:00 ann a1 add shoe @9.99
         61:00 ann a2 view
         62:00 ann a3 add shoe @9.99
         130:00 ann a4 add sock @0.02
         200:00 bob b1 look
         200:01 ann a5 remove sock
         300:00 bob b2 look",
        "suppressed ann a1 below_minimum_value 60:00
         suppressed ann a1 below_minimum_value 122:00
         fire ann a1 inactivity 190:00",
    );
}

#[test]
fn no_consent_no_message() {
    check(
        "00:00 ann a1 consent no
         00:01 ann a2 add shoe
         00:02 bob b1 consent no
         00:03 bob b2 add shoe
         00:04 bob b3 consent yes
         90:00 eve e1 look
         91:00 ann a3 consent yes
         92:00 ann a4 add shoe
         200:00 eve e2 look",
        "suppressed ann a2 no_consent 60:01
         fire bob b2 inactivity 60:03",
    );
}

#[test]
fn consent_is_that_of_the_deadline_whatever_arrives_first() {
    let refused = "suppressed ann a1 no_consent 60:00";
    check(
        "00:00 ann a1 add shoe
         60:03 bob b1 look
         60:00 ann a2 consent no
         90:00 bob b2 look",
        refused,
    );
    check(
        "00:00 ann a1 add shoe
         60:02 ann a3 consent yes
         59:58 ann a2 consent no
         90:00 bob b2 look",
        refused,
    );
    check(
        "00:00 ann a1 add shoe
         00:01 ann a2 consent no
         59:59 ann a3 consent yes
         60:04 ann a4 consent no
         90:00 bob b2 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_refusal_that_comes_late_takes_the_message_back() {
    let fired = "fire ann a2 inactivity 60:01";
    let cancelled = "fire ann a2 inactivity 60:01\ncancel ann a2 no_consent 60:01";
    for (refused, expected) in [
        ("60:02", fired),
        ("60:01", cancelled),
        ("30:01", cancelled),
        ("29:59", fired),
    ] {
        check(
            &format!(
                "00:01 ann a2 add shoe
                 30:00 ann a3 consent yes
                 65:00 bob b1 look
                 {refused} ann a4 consent no
                 90:00 bob b2 look"
            ),
            expected,
        );
    }
    check(
        "00:01 ann a2 add shoe
         65:00 bob b1 look
         76:00 bob b2 look
         60:00 ann a4 consent no",
        fired,
    );
}

#[test]
fn an_event_without_an_id_opens_an_episode_named_by_its_key() {
    let shop = run(
        &Config::default(),
        &Rules::default(),
        &records("00:00 ann - add shoe\n00:00 ann - add shoe\n90:00 bob b1 look"),
    );
    assert_eq!(shop.out.len(), 1);
    assert_eq!(shop.out[0].episode, "f6ca04cd1879cab7");
    assert_eq!(shop.out[0].cart.lines[0].quantity, 1);
}

#[test]
fn a_record_says_everything() {
    let text = "00:00 ann a1 add shoe x2 @10
                00:01 ann a2 add sock
                60:06 bob b1 look
                60:06 bob b2 look";
    let shop = run(&Config::default(), &Rules::default(), &records(text));
    let lines = [("shoe", 2, Some(10.0)), ("sock", 1, None)];
    let expected = Trigger {
        seq: 1,
        kind: TriggerKind::Fire,
        id: trigger_id("cart_abandonment", 1, "ann", "a1"),
        revision: 0,
        rule: Id::from("cart_abandonment"),
        rule_version: 1,
        user: Id::from("ann"),
        episode: Id::from("a1"),
        reason: TriggerReason::Inactivity,
        cart: CartView {
            lines: lines
                .map(|(item, quantity, price)| LineItem {
                    item: Id::from(item),
                    quantity,
                    price: price.and_then(Money::from_units),
                })
                .to_vec(),
            value: Money(20_000_000),
            currency: Id::default(),
            updated: Some(at("00:01")),
        },
        recommendations: Vec::new(),
        deadline: at("60:01"),
        fired: at("60:01"),
        expires: at("1500:01"),
        position: 3,
        traceparent: None,
    };
    assert_eq!(shop.out, [expected]);
}

#[test]
fn a_cancel_repeats_the_fire_in_its_second_revision() {
    let text = "00:00 ann a1 add shoe x2 @10
                60:05 bob b1 look
                60:04 ann a2 add sock
                59:00 ann a3 purchase";
    let shop = run(&Config::default(), &Rules::default(), &records(text));
    let [fire, cancel] = shop.out.as_slice() else {
        panic!("{:?}", shop.said());
    };
    assert_eq!((fire.revision, cancel.revision), (0, 1));
    assert_eq!(
        (fire.id, &fire.cart, fire.deadline),
        (cancel.id, &cancel.cart, cancel.deadline)
    );
    assert_eq!(cancel.position, 4);
}

#[test]
fn readers_see_at_once_what_has_arrived() {
    let mut shop = Shop::new(Config::default(), Rules::default());
    let episodes = shop.triggers.episodes();
    shop.apply(&record("00:00 ann a1 add shoe @10"));
    assert_eq!(episodes.soonest(10), [(at("60:00"), 0)]);
    let cart = &shop.people.carts[&0].0;
    assert_eq!(cart.view(&shop.people).value, Money(10_000_000));
    let view = episodes.view(&Id::from("ann"), cart, &shop.people).unwrap();
    assert_eq!(view.deadline, at("60:00"));
    assert_eq!(view.id, trigger_id("cart_abandonment", 1, "ann", "a1"));
    shop.apply(&record("00:01 ann a2 purchase"));
    assert!(episodes.is_empty());
    assert_eq!(shop.people.carts[&0].0.lines(), []);
}

#[test]
fn nothing_is_kept_of_a_shopper_who_bought() {
    let text = "00:00 ann a1 add shoe\n01:00 ann a2 purchase\n11:05 bob b1 look";
    let mut shop = run(&Config::default(), &Rules::default(), &records(text));
    assert!(!shop.people.carts[&0].0.is_empty());
    shop.apply(&record("11:05.001 bob b2 look"));
    assert!(shop.people.carts[&0].0.is_empty());
    assert_eq!(shop.triggers.earliest_timer(), None);
    assert_eq!(size_of::<CartState>(), 8);
}

#[test]
fn limits_hold_and_are_counted() {
    let config = Config {
        lines_max: 2,
        pending_max: 2,
        ..Config::default()
    };
    let text = "00:00 ann a1 add i1
                00:00.1 ann a2 add i2
                00:00.2 ann a3 add i3
                00:00.3 ann a4 update i1 i2 i2 i3 i4
                90:00 bob b1 look";
    let shop = run(&config, &Rules::default(), &records(text));
    assert_eq!(shop.said(), ["fire ann a1 inactivity 60:00"]);
    assert_eq!(shop.out[0].cart.lines.len(), 2);
    assert_eq!(shop.out[0].cart.lines[1].quantity, 2);
    let counts = shop.triggers.counts();
    assert_eq!((counts.lines_refused, counts.pending_forced), (3, 2));
}

#[test]
fn overdue_fires_are_spread_over_steps_in_their_order() {
    let config = Config {
        records_per_step_max: 1,
        ..Config::default()
    };
    check_with(
        &config,
        CartAbandonment::default(),
        "00:00 ann a1 add shoe
         00:01 bob b1 add shoe
         00:02 eve e1 add shoe
         90:00 idle
         60:01.5 eve e2 purchase
         90:01 idle
         90:02 idle
         90:03 idle",
        "fire ann a1 inactivity 60:00
         fire bob b1 inactivity 60:01
         suppressed eve e1 purchased 60:02",
    );
}

#[test]
fn a_forgotten_shopper_leaves_no_timer() {
    let mut shop = run(
        &Config::default(),
        &Rules::default(),
        &records("00:00 ann a1 add shoe"),
    );
    let (mut cart, _) = shop.people.carts.remove(&0).unwrap();
    assert!(cart.is_busy());
    shop.triggers.forget(0, &mut cart);
    assert!(cart.is_empty());
    shop.assert_consistent();
}

#[test]
fn the_grace_ends_by_the_watermark_even_when_fires_are_spread() {
    let config = Config {
        records_per_step_max: 1,
        ..Config::default()
    };
    check_with(
        &config,
        CartAbandonment::default(),
        "00:00 ann a1 add shoe
         00:01 bob b1 add shoe
         00:02 eve e1 add shoe
         60:05 idle
         75:00 idle
         59:00 ann a2 purchase
         75:01 idle",
        "fire ann a1 inactivity 60:00
         fire bob b1 inactivity 60:01
         fire eve e1 inactivity 60:02",
    );
}
