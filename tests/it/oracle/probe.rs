//! probe
use impulse::domain::*;
use super::carts::CartRule;
use super::subject::{Honest, Subject};
fn m(t: i64) -> Millis { Millis(1_700_000_000_000 + t * 1000) }
fn ev(id: &str, kind: EventKind, item: &str, recv: i64, created: i64, q: u32) -> Record {
    Record { received: m(recv), input: Input::Event(Event { kind, id: id.into(), user: "u0".into(), session: "".into(), item: item.into(), quantity: q, price: None, created: Some(m(created)), sent: None, details: None }) }
}
fn tick(t: i64) -> Record { Record { received: m(t), input: Input::Tick { wall: m(t), caught_up: true } } }
fn run(name: &str, records: &[Record]) {
        println!("=== {name}");
        let mut e = Honest::new(&CartRule::default());
        for r in records { let mut t = Vec::new(); let o = e.apply(r, &mut t);
          let what = match &r.input { Input::Event(e) => format!("{} {} {} x{} t={}", e.id, e.kind.name(), e.item, e.quantity, e.created.unwrap().since(m(0))/1000), Input::Tick{wall,..} => format!("tick {}", wall.since(m(0))/1000), _ => String::new() };
          println!("  {what}: {} cart {:?} episodes {:?}", match o { Outcome::Applied{late,..} => if late {"late"} else {"ok"}, _ => "?" }, e.view().profile("u0").map(|p| super::compare::cart_line(&p.cart.lines)), e.view().episodes(9).iter().map(|e| (e.deadline.since(m(0))/1000, super::compare::cart_line(&e.cart.lines))).collect::<Vec<_>>());
          for t in t { println!("      {} {} {} due {} fired {} {}", t.kind.name(), t.reason.name(), t.episode, t.deadline.since(m(0))/1000, t.fired.since(m(0))/1000, super::compare::cart_line(&t.cart.lines)); }
        }
}
#[test]
fn probe() {
    use EventKind::*;

    run("waiting, late purchase", &[ev("a", AddToCart, "x", 100, 100, 0), ev("v", CartView, "", 3000, 3000, 0), tick(4000), ev("p", Purchase, "x", 4000, 1000, 0), tick(19000)]);
    run("waiting, late remove", &[ev("a", AddToCart, "x", 100, 100, 0), ev("v", CartView, "", 3000, 3000, 0), tick(4000), ev("p", RemoveFromCart, "x", 4000, 1000, 0), tick(19000)]);
    run("waiting, late empty update", &[ev("a", AddToCart, "x", 100, 100, 0), ev("v", CartView, "", 3000, 3000, 0), tick(4000), ev("p", CartUpdate, "x", 4000, 1000, 0), tick(19000)]);
    run("waiting, late add", &[ev("a", AddToCart, "x", 100, 100, 0), ev("v", CartView, "", 3000, 3000, 0), tick(4000), ev("p", AddToCart, "y", 4000, 1000, 0), tick(19000)]);
    run("nothing, late add", &[tick(4000), ev("p", AddToCart, "y", 4000, 1000, 0), tick(19000)]);
    run("fired, past grace, late purchase", &[ev("a", AddToCart, "x", 100, 100, 0), tick(4000), tick(6000), ev("p", Purchase, "x", 6000, 1000, 0), tick(19000)]);
    run("fired, past grace, late remove", &[ev("a", AddToCart, "x", 100, 100, 0), tick(4000), tick(6000), ev("p", RemoveFromCart, "x", 6000, 1000, 0), tick(19000)]);
    run("fired, past grace, late purchase after deadline", &[ev("a", AddToCart, "x", 100, 100, 0), tick(4000), tick(6000), ev("p", Purchase, "x", 6000, 3800, 0), tick(19000)]);
    run("fired, past grace, overdue purchase after deadline", &[ev("a", AddToCart, "x", 100, 100, 0), tick(4000), tick(6000), ev("p", Purchase, "x", 6000, 5700, 0), tick(19000)]);
    run("fired late, in grace of firing, purchase before deadline", &[ev("a", AddToCart, "x", 100, 100, 0), tick(6000), tick(6300), ev("p", Purchase, "x", 6300, 3000, 0), tick(19000)]);
    run("fired late, past grace of firing, purchase before deadline", &[ev("a", AddToCart, "x", 100, 100, 0), tick(6000), tick(6700), ev("p", Purchase, "x", 6700, 3000, 0), tick(19000)]);
    run("fired, late remove in grace", &[ev("a", AddToCart, "x", 100, 100, 0), tick(3800), ev("p", RemoveFromCart, "x", 3800, 1000, 0), tick(19000)]);
    run("fired, late add in grace", &[ev("a", AddToCart, "x", 100, 100, 0), tick(3800), ev("p", AddToCart, "y", 3800, 1000, 0), tick(19000)]);
    run("small, late purchase", &[ev("a", AddToCart, "x", 100, 100, 0), tick(4000), tick(6000), ev("p", Purchase, "x", 6000, 1000, 0), tick(19000)]);
}
