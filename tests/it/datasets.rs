//! Published data sets are read to the last line: every count is the one that its description gives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use impulse::domain::{Event, EventKind, Id, Input, Millis, Money, RejectionReason};
use impulse::wire::datasets::{Format, LINE_BYTES_MAX, ReadError, RejectedLine};

/// What a file holds.
#[derive(Debug, Default)]
struct Contents {
    events: Vec<Event>,
    upserts: Vec<impulse::domain::ItemPatch>,
    rejected: Vec<RejectedLine>,
}

impl Contents {
    fn read(format: Format, input: impl BufRead) -> Self {
        let mut contents = Self::default();
        for input in format.read(input) {
            match input {
                Ok(Input::Event(event)) => contents.events.push(event),
                Ok(Input::ItemUpsert(patch)) => contents.upserts.push(*patch),
                Ok(other) => panic!("no data set holds {other:?}"),
                Err(ReadError::Line(line)) => contents.rejected.push(line),
                Err(error) => panic!("{error}"),
            }
        }
        contents
    }

    fn of(format: Format, text: &str) -> Self {
        Self::read(format, text.as_bytes())
    }

    fn count(&self, kind: EventKind) -> usize {
        self.events
            .iter()
            .filter(|event| event.kind == kind)
            .count()
    }

    fn users(&self) -> usize {
        let users: BTreeSet<&Id> = self.events.iter().map(|event| &event.user).collect();
        users.len()
    }

    fn items(&self) -> usize {
        let items: BTreeSet<&Id> = self.events.iter().map(|event| &event.item).collect();
        items.len()
    }

    fn distinct_ids(&self) -> usize {
        let ids: BTreeSet<&Id> = self.events.iter().map(|event| &event.id).collect();
        ids.len()
    }

    fn span(&self) -> (i64, i64) {
        let times = || self.events.iter().filter_map(|event| event.created);
        let (first, last) = (times().min().unwrap(), times().max().unwrap());
        (first.0, last.0)
    }

    fn rejected_by_field(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for line in &self.rejected {
            *counts.entry(line.rejection.field.as_str()).or_default() += 1;
        }
        counts
    }
}

/// The published file, or `None` and a word about it where the data are not at hand.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to see it")]
fn published(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no file {}", path.display());
    None
}

fn open(path: &Path) -> Box<dyn BufRead> {
    let file = File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "zst") {
        return Box::new(BufReader::new(zstd::Decoder::new(file).unwrap()));
    }
    Box::new(BufReader::new(file))
}

#[test]
fn retail_rocket_is_read_whole() {
    let Some(path) = published("retailrocket_8d/events.csv") else {
        return;
    };
    let contents = Contents::read(Format::RetailRocket, open(&path));
    assert_eq!(contents.rejected, []);
    assert_eq!(contents.events.len(), 46_350);
    assert_eq!(contents.count(EventKind::ProductView), 43_203);
    assert_eq!(contents.count(EventKind::AddToCart), 2_396);
    assert_eq!(contents.count(EventKind::Purchase), 751);
    assert_eq!(contents.users(), 13_118);
    assert_eq!(contents.items(), 13_882);
    assert_eq!(contents.upserts.len(), 13_882);
    assert_eq!(contents.distinct_ids(), 46_350);
    let (first, last) = contents.span();
    assert_eq!(first, 1_441_852_593_000, "2015-09-10");
    assert!(last < 1_442_620_800_000, "before 2015-09-19");
    let first = &contents.events[0];
    assert_eq!(
        (&*first.user, &*first.item, &*first.session),
        ("1145517", "165162", "1433838")
    );
    assert_eq!(first.details.as_deref().unwrap().category, "1173");
}

#[test]
fn rees46_is_read_whole() {
    let Some(path) = published("rees46/events.csv") else {
        return;
    };
    let contents = Contents::read(Format::Rees46, open(&path));
    assert_eq!(contents.rejected, []);
    assert_eq!(contents.events.len(), 17_434);
    assert_eq!(contents.count(EventKind::ProductView), 17_055);
    assert_eq!(contents.count(EventKind::AddToCart), 165);
    assert_eq!(contents.count(EventKind::Purchase), 214);
    assert_eq!(contents.upserts.len(), contents.items());
    assert_eq!(contents.distinct_ids(), 17_434, "true repetitions are kept");
    let (first, last) = contents.span();
    assert_eq!(first, 1_569_888_000_000, "2019-10-01 00:00");
    assert!(last < first + 3 * 3_600_000, "before 03:00");
    let upsert = &contents.upserts[1];
    assert_eq!(
        upsert.categories,
        [
            "appliances",
            "appliances.environment",
            "appliances.environment.water_heater"
        ]
    );
    assert_eq!(upsert.price, Some(Money(33_200_000)));
    assert_eq!(upsert.brand.as_deref(), Some("aqua"));
    assert_eq!(upsert.created, contents.events[1].created);
}

#[test]
fn the_benchmarks_clicks_are_read_whole() {
    for (name, clicks) in [("train", 70_278), ("test", 13_568)] {
        let Some(path) = published(&format!("yoochoose_100k/{name}.tsv")) else {
            return;
        };
        for format in [Format::SessionRec, Format::YooChoose] {
            let contents = Contents::read(format, open(&path));
            assert_eq!(contents.rejected, []);
            assert_eq!(contents.count(EventKind::ProductView), clicks);
            assert_eq!(contents.distinct_ids(), clicks, "true repetitions are kept");
            let (first, last) = contents.span();
            assert!(first >= 1_396_310_400_000, "2014-04-01");
            assert!(last < 1_396_994_400_000, "2014-04-08");
        }
    }
}

#[test]
fn online_retail_is_read_whole() {
    let Some(path) = published("online_retail/online_retail.csv.zst") else {
        return;
    };
    let contents = Contents::read(Format::OnlineRetail, open(&path));
    let lines = |kind: EventKind| -> usize {
        let of_kind = contents.events.iter().filter(|event| event.kind == kind);
        of_kind
            .map(|event| event.details.as_deref().unwrap().lines.len())
            .sum()
    };
    let (sold, returned) = (lines(EventKind::Purchase), lines(EventKind::Refund));
    assert_eq!((sold, returned), (530_143, 9_288));
    assert_eq!(
        contents.rejected_by_field(),
        BTreeMap::from([("InvoiceNo", 3), ("Quantity", 1_336), ("UnitPrice", 1_139)])
    );
    assert_eq!(sold + returned + contents.rejected.len(), 541_909);
    assert_eq!(contents.count(EventKind::Purchase), 19_964);
    assert_eq!(contents.count(EventKind::Refund), 3_836);
    assert_eq!(contents.users(), 5_981);
    assert_eq!(contents.upserts.len(), 3_921);
    assert_eq!(contents.distinct_ids(), contents.events.len());
    let sales: i64 = contents
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Purchase)
        .flat_map(|event| &event.details.as_deref().unwrap().lines)
        .map(|line| (line.price.unwrap() * line.quantity).0)
        .sum();
    assert_eq!(
        sales / 10_000,
        1_065_562_248,
        "pence, as a sum over the file gives them"
    );
    let charges: BTreeSet<&str> = contents
        .upserts
        .iter()
        .filter(|upsert| upsert.available == Some(false))
        .map(|upsert| upsert.id.as_str())
        .collect();
    assert!(
        charges.contains("POST") && charges.len() < 20,
        "{charges:?}"
    );
}

#[test]
fn the_published_columns_of_retail_rocket_are_read() {
    let contents = Contents::of(
        Format::RetailRocket,
        "timestamp,visitorid,event,itemid,transactionid\n\
         1433221332117,257597,view,355908,\n\
         1433222276276,599528,transaction,356475,4000\n\
         1433222276276,599528,transaction,15335,4000\n",
    );
    assert_eq!(contents.rejected, []);
    assert_eq!(
        contents.upserts,
        [],
        "without categories nothing is known of the items"
    );
    let orders: Vec<Option<&str>> = contents
        .events
        .iter()
        .map(|event| {
            event
                .details
                .as_deref()
                .map(|details| details.order_id.as_str())
        })
        .collect();
    assert_eq!(orders, [None, Some("4000"), Some("4000")]);
}

#[test]
fn the_published_files_of_yoochoose_are_read() {
    let contents = Contents::of(
        Format::YooChoose,
        "1,2014-04-07T10:51:09.277Z,214536502,0\n\
         1,2014-04-07T10:54:09.868Z,214536500,S\n\
         1,2014-04-07T10:54:46.998Z,214536506,7\n\
         1,2014-04-07T10:57:00.306Z,214577561,2088980128\n\
         420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n\
         420374,2014-04-06T18:44:58.325Z,214537850,0,0\n\
         1,2014-04-07T10:57:00.306Z\n",
    );
    let details: Vec<(&str, &str)> = contents
        .events
        .iter()
        .map(|event| {
            let details = event.details.as_deref();
            details.map_or(("", ""), |details| (&*details.category, &*details.brand))
        })
        .collect();
    let none = ("", "");
    assert_eq!(
        details,
        [none, ("S", ""), ("7", ""), ("", "2088980128"), none, none]
    );
    let buys = &contents.events[4..];
    assert_eq!(
        (buys[0].kind, buys[0].price),
        (EventKind::Purchase, Some(Money(12_462_000_000)))
    );
    assert_eq!((buys[1].quantity, buys[1].price), (1, None));
    assert_eq!(contents.events[0].created, Some(Millis(1_396_867_869_277)));
    assert_eq!(contents.rejected.len(), 1);
}

#[test]
fn the_published_lines_of_otto_are_read() {
    let contents = Contents::of(
        Format::Otto,
        r#"{"session":0,"events":[{"aid":1517085,"ts":1659304800025,"type":"clicks"},{"aid":1563459,"ts":1659304904511,"type":"carts"},{"aid":1563459,"ts":1659304905000,"type":"orders"}]}
{"session":1,"events":[{"aid":1,"ts":2,"type":"clicks"},{"aid":1,"ts":2,"type":"dreams"}]}
{"session":2,"events":[{"aid":1}]}
{"session":"#,
    );
    let kinds: Vec<EventKind> = contents.events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::ProductView,
            EventKind::AddToCart,
            EventKind::Purchase
        ]
    );
    assert_eq!(contents.events[0].created, Some(Millis(1_659_304_800_025)));
    let reasons: Vec<RejectionReason> = contents
        .rejected
        .iter()
        .map(|line| line.rejection.reason)
        .collect();
    assert_eq!(
        reasons,
        [
            RejectionReason::UnknownKind,
            RejectionReason::WrongType,
            RejectionReason::MalformedJson
        ]
    );
}

#[test]
fn invoices_are_put_together_line_by_line() {
    let contents = Contents::of(
        Format::OnlineRetail,
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
         536365,85123A,WHITE HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom\n\
         536365,POST,POSTAGE,1,12/1/2010 8:26,18.00,17850,United Kingdom\n\
         536365,71053,\"LANTERN, \"\"WHITE\"\"\",x,12/1/2010 8:26,3.39,17850,United Kingdom\n\
         536365,71053,\"LANTERN, \"\"WHITE\"\"\",2,12/1/2010 8:26,3.39,17850,United Kingdom\n\
         C536379,D,Discount,-1,12/1/2010 9:41,27.5,14527.0,United Kingdom\n\
         536414,22139,,56,12/1/2010 11:52,0,,United Kingdom\n\
         536544,21773,DECORATIVE,1,12/1/2010 14:32,2.51,,United Kingdom\n",
    );
    let [order, refund, guest] = contents.events.as_slice() else {
        panic!("{:?}", contents.events);
    };
    let details = order.details.as_deref().unwrap();
    assert_eq!(
        (order.kind, &*order.user, &*details.order_id),
        (EventKind::Purchase, "17850", "536365")
    );
    assert_eq!((details.lines.len(), &*details.currency), (3, "GBP"));
    assert_eq!((refund.kind, &*refund.user), (EventKind::Refund, "14527"));
    assert_eq!(refund.details.as_deref().unwrap().lines[0].quantity, 1);
    assert_eq!(guest.user, "guest-536544");
    let rejected: Vec<(u64, &str)> = contents
        .rejected
        .iter()
        .map(|line| (line.number, line.rejection.field.as_str()))
        .collect();
    assert_eq!(rejected, [(4, "Quantity"), (7, "UnitPrice")]);
    let titles: Vec<(&str, Option<bool>)> = contents
        .upserts
        .iter()
        .map(|upsert| (upsert.title.as_deref().unwrap(), upsert.available))
        .collect();
    assert_eq!(
        titles,
        [
            ("WHITE HOLDER", Some(true)),
            ("POSTAGE", Some(false)),
            ("LANTERN, \"WHITE\"", Some(true)),
            ("DECORATIVE", Some(true)),
        ]
    );
}

#[test]
fn an_upsert_comes_before_the_event_that_shows_the_item_first() {
    let text = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n\
                2019-10-01 00:00:00 UTC,view,1,7,a.b,x,10.00,u,s\n\
                2019-10-01 00:00:01 UTC,view,1,7,a.b,x,10.00,u,s\n\
                2019-10-01 00:00:02 UTC,cart,1,7,a.b,x,9.00,u,s\n";
    let shapes: Vec<String> = Format::Rees46
        .read(text.as_bytes())
        .map(|input| match input.unwrap() {
            Input::ItemUpsert(patch) => format!("{:?}", patch.price.unwrap().units()),
            Input::Event(event) => event.kind.name().to_owned(),
            other @ (Input::ItemDelete(_) | Input::Tick { .. }) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shapes,
        ["10.0", "product_view", "product_view", "9.0", "add_to_cart"]
    );
}

#[test]
fn a_bad_line_is_handed_back_as_it_is() {
    let text = b"{\"kind\":\"cart_view\",\"user_id\":\"u\"}\r\n\
                 {\"kind\":\"cart_view\",\"user_id\":\"u\",\"price\":-1}\n\
                 \n\
                 \xff\xfe\n\
                 not json\n\
                 {\"kind\":\"cart_view\",\"user_id\":\"u\"}";
    let contents = Contents::read(Format::Jsonl, &text[..]);
    assert_eq!(contents.events.len(), 2);
    assert_ne!(contents.events[0].id, contents.events[1].id);
    let rejected: Vec<(u64, &[u8], RejectionReason)> = contents
        .rejected
        .iter()
        .map(|line| (line.number, line.raw.as_slice(), line.rejection.reason))
        .collect();
    assert_eq!(
        rejected,
        [
            (
                2,
                &b"{\"kind\":\"cart_view\",\"user_id\":\"u\",\"price\":-1}"[..],
                RejectionReason::InvalidValue
            ),
            (4, b"\xff\xfe", RejectionReason::MalformedLine),
            (5, b"not json", RejectionReason::MalformedJson),
        ]
    );
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    let contents = Contents::of(Format::Jsonl, &long);
    assert_eq!(
        contents.rejected[0].rejection.reason,
        RejectionReason::TooLong
    );
}

#[test]
fn a_file_of_another_layout_is_refused_once() {
    for format in [
        Format::RetailRocket,
        Format::Rees46,
        Format::OnlineRetail,
        Format::SessionRec,
    ] {
        let mut reader = format.read(&b"id,name\n1,x\n2,y\n"[..]);
        assert!(
            matches!(reader.next(), Some(Err(ReadError::Layout(_)))),
            "{format:?}"
        );
        assert!(reader.next().is_none());
    }
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
        assert_eq!(format.read(&b""[..]).count(), 0);
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_with_the_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let text = b"{\"kind\":\"cart_view\",\"user_id\":\"u\"}\n";
    let mut reader = Format::Jsonl.read(BufReader::new(text.chain(Broken)));
    assert!(reader.next().unwrap().is_ok());
    assert!(matches!(reader.next(), Some(Err(ReadError::Io(_)))));
    assert!(reader.next().is_none());
}
