//! UCI's Online Retail: `InvoiceNo`, `StockCode`, `Description`, `Quantity`, `InvoiceDate`, `UnitPrice`, `CustomerID`,
//! `Country`. Amounts are pounds sterling; times are taken as UTC.
//!
//! - Lines with one invoice number that follow each other are one purchase, at the time of the first. A number that
//!   begins with C is a credit note: a refund of its lines. An invoice of more than 2,000 lines goes on in a second
//!   purchase with the same order id.
//! - An invoice without a customer is of a guest who is seen only there: visitor `guest-<InvoiceNo>`.
//! - Lines that are no sale are refused, each by itself: quantities that are not positive outside credit notes and
//!   lines without customer and price (both are movements of stock), negative prices and numbers that begin with A
//!   (adjustments of debts).
//! - An item is upserted, with title and price, when a line of a sale first describes it. Codes with fewer than three
//!   digits (`POST`, `DOT`, `M`, `BANK CHARGES`) are charges, not goods: their items are not available, so that they are
//!   never recommended.

use std::borrow::Cow;

use crate::domain::{EventKind, Id, Input, ItemPatch, Millis, Money, Rejection, RejectionReason};
use crate::wire::check::{self, Field};
use crate::wire::datasets::items::{KnownItems, News, upsert};
use crate::wire::datasets::row::{Columns, EventIds, amount, split, unreadable, whole};
use crate::wire::datasets::{Format, Layout, Line, Out, RejectedLine, bad_line};
use crate::wire::draft::{Draft, DraftLine, Kind};
use crate::wire::time;

const CURRENCY: &str = "GBP";

pub(super) struct OnlineRetail {
    columns: Columns<8>,
    ids: EventIds,
    items: KnownItems,
    invoice: Option<Invoice>,
}

/// The invoice whose lines are being read.
struct Invoice {
    number: Id,
    draft: Draft,
    /// Upserts of the items that it shows first.
    upserts: Vec<Input>,
    /// Its lines as they are in the file.
    raw: Vec<Vec<u8>>,
    first_line: u64,
}

/// A line that is part of a sale or a refund.
struct Sale<'a> {
    invoice: &'a str,
    kind: EventKind,
    item: &'a str,
    title: &'a str,
    quantity: u32,
    time: Millis,
    units: f64,
    customer: &'a str,
    country: &'a str,
}

impl Default for OnlineRetail {
    fn default() -> Self {
        Self {
            columns: Columns::unknown(),
            ids: EventIds::new(Format::OnlineRetail.name()),
            items: KnownItems::default(),
            invoice: None,
        }
    }
}

impl Layout for OnlineRetail {
    fn header(&mut self, line: &str) -> Result<bool, Rejection> {
        let names = [
            "InvoiceNo",
            "StockCode",
            "Quantity",
            "InvoiceDate",
            "UnitPrice",
            "CustomerID",
            "Description",
            "Country",
        ];
        self.columns = Columns::find(line, ',', names, 6)?;
        Ok(true)
    }

    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection> {
        let row = split(line.text, ',')?;
        let sale = self.sale(&row)?;
        let goes_on = self.invoice.as_ref().is_some_and(|invoice| {
            invoice.number == sale.invoice && invoice.raw.len() < check::LINES_MAX
        });
        if !goes_on {
            self.finish(out);
        }
        self.add(&sale, line);
        Ok(())
    }

    fn finish(&mut self, out: &mut Out) {
        let Some(mut invoice) = self.invoice.take() else {
            return;
        };
        invoice.draft.event_id = self.ids.id(invoice.raw.iter().map(Vec::as_slice));
        match invoice.draft.into_checked() {
            Ok(event) => {
                out.extend(invoice.upserts.into_iter().map(Ok));
                out.push_back(Ok(Input::Event(event)));
            }
            Err(rejection) => out.push_back(Err(RejectedLine {
                number: invoice.first_line,
                raw: invoice.raw.join(&b'\n'),
                rejection,
            })),
        }
    }

    fn may_be_latin1(&self) -> bool {
        true
    }
}

impl OnlineRetail {
    /// The sale that a line is part of, every value checked, so that a bad line is refused without its invoice.
    fn sale<'r>(&self, row: &'r [Cow<'_, str>]) -> Result<Sale<'r>, Rejection> {
        let [
            invoice,
            item,
            quantity,
            date,
            price,
            customer,
            title,
            country,
        ] = self.columns.pick(row)?;
        check::required_id(Field::Name("InvoiceNo"), invoice)?;
        check::required_id(Field::Name("StockCode"), item)?;
        let kind = match invoice.as_bytes() {
            [b'C' | b'c', ..] => EventKind::Refund,
            [b'A' | b'a', ..] => {
                return Err(no_sale("InvoiceNo", invoice, "an adjustment of debts"));
            }
            _ => EventKind::Purchase,
        };
        let customer = customer.strip_suffix(".0").unwrap_or(customer);
        check::id(Field::Name("CustomerID"), customer)?;
        let signed = whole("Quantity", quantity.strip_suffix(".0").unwrap_or(quantity))?;
        if signed == 0 || (signed < 0) != (kind == EventKind::Refund) {
            return Err(no_sale("Quantity", quantity, "a movement of stock"));
        }
        let pieces = u32::try_from(signed.unsigned_abs()).unwrap_or(u32::MAX);
        check::quantity(Field::Name("Quantity"), pieces)?;
        let Some(units) = amount("UnitPrice", price)? else {
            return Err(unreadable("UnitPrice", price, "an amount"));
        };
        check::money(Field::Name("UnitPrice"), units)?;
        if units == 0.0 && customer.is_empty() {
            return Err(no_sale("UnitPrice", price, "a movement of stock"));
        }
        let time = time::parse(date)
            .or_else(|| month_first(date))
            .ok_or_else(|| unreadable("InvoiceDate", date, "a date and a time of day"))?;
        check::text(Field::Name("Description"), title, check::TEXT_BYTES_MAX)?;
        check::text(Field::Name("Country"), country, check::TEXT_BYTES_MAX)?;
        Ok(Sale {
            invoice,
            kind,
            item,
            title: title.trim(),
            quantity: pieces,
            time,
            units,
            customer,
            country,
        })
    }

    fn add(&mut self, sale: &Sale<'_>, line: Line<'_>) {
        let invoice = self
            .invoice
            .get_or_insert_with(|| Invoice::begin(sale, line.number));
        invoice.raw.push(line.raw.to_vec());
        invoice.draft.push_line(DraftLine {
            item_id: sale.item.into(),
            quantity: sale.quantity,
            price: Some(sale.units),
        });
        if sale.title.is_empty() || sale.kind != EventKind::Purchase {
            return;
        }
        let item = Id::from(sale.item);
        if self.items.see(&item, None) == News::New {
            let patch = ItemPatch {
                available: Some(is_goods(sale.item)),
                id: item,
                title: Some(sale.title.to_owned()),
                price: Money::from_units(sale.units).filter(|price| *price > Money::ZERO),
                currency: Some(CURRENCY.into()),
                ..ItemPatch::default()
            };
            invoice.upserts.push(upsert(patch, sale.time));
        }
    }
}

impl Invoice {
    fn begin(sale: &Sale<'_>, first_line: u64) -> Self {
        let mut draft = Draft {
            kind: Kind::Known(sale.kind),
            created: Some(sale.time.into()),
            ..Draft::default()
        };
        if sale.customer.is_empty() {
            draft.visitor_id = compact_str::format_compact!("guest-{}", sale.invoice);
        } else {
            draft.user_id = sale.customer.into();
        }
        let details = draft.details();
        details.order_id = sale.invoice.into();
        details.currency = CURRENCY.into();
        if !sale.country.is_empty() {
            draft.insert_context("country", sale.country);
        }
        Self {
            number: sale.invoice.into(),
            draft,
            upserts: Vec::new(),
            raw: Vec::new(),
            first_line,
        }
    }
}

/// Goods have codes such as `85123A`, `DCGS0003` or `gift_0001_20`.
fn is_goods(code: &str) -> bool {
    const DIGITS_MIN: usize = 3;
    code.bytes().filter(u8::is_ascii_digit).count() >= DIGITS_MIN
}

/// A time as spreadsheets write it in the published file: `12/1/2010 8:26`.
fn month_first(text: &str) -> Option<Millis> {
    let (date, time_of_day) = text.split_once(' ')?;
    let (month, rest) = date.split_once('/')?;
    let (day, year) = rest.split_once('/')?;
    let (hour, minute) = time_of_day.split_once(':')?;
    let number = |text: &str| time::number(text.as_bytes());
    let year = match number(year)? {
        short @ 0..100 => 2000 + short,
        year => year,
    };
    let days = time::days(year, number(month)?, number(day)?)?;
    let ms = time::time_of_day(number(hour)?, number(minute)?, 0)?;
    Some(Millis(days * crate::domain::DAY_MS + ms))
}

#[cold]
fn no_sale(column: &str, value: &str, what: &str) -> Rejection {
    let detail = format!("`{column}` is {}: {what}, no sale", check::quoted(value));
    bad_line(RejectionReason::InvalidValue, column, detail)
}

#[cfg(test)]
mod tests {
    use super::{is_goods, month_first};
    use crate::domain::Millis;

    #[test]
    fn times_of_spreadsheets_are_read() {
        let expected = Some(Millis(1_291_191_960_000));
        assert_eq!(month_first("12/1/2010 8:26"), expected);
        assert_eq!(month_first("12/1/10 8:26"), expected);
        for bad in [
            "13/1/2010 8:26",
            "12/1/2010",
            "12-1-2010 8:26",
            "12/1/2010 8:61",
        ] {
            assert_eq!(month_first(bad), None, "{bad}");
        }
    }

    #[test]
    fn charges_are_no_goods() {
        for goods in ["85123A", "DCGS0003", "gift_0001_20", "SP1002"] {
            assert!(is_goods(goods), "{goods}");
        }
        for charge in ["POST", "DOT", "M", "m", "C2", "BANK CHARGES", "AMAZONFEE"] {
            assert!(!is_goods(charge), "{charge}");
        }
    }
}
