//! What kinds of things the shop sells, what they cost, and what goes with what.

/// A part of the shop.
#[derive(Debug)]
pub(super) struct Department {
    /// First level of the categories.
    pub(super) name: &'static str,
    /// Share of the visitors' interest, relative to the others.
    pub(super) interest: f64,
    /// Makers, from the cheapest to the dearest.
    pub(super) brands: [&'static str; 5],
    /// Second level of the categories, from the most to the least visited.
    pub(super) leaves: &'static [Leaf],
}

/// A category of the second level.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Its name, unique in the shop.
    pub(super) name: &'static str,
    /// Median price in euros.
    pub(super) price: f64,
    /// What its products are.
    pub(super) nouns: [&'static str; 3],
    /// Leaves whose products are bought along with these.
    pub(super) complements: &'static [&'static str],
}

impl Leaf {
    /// Its share of the interest in its department.
    pub(super) fn share_of(&self, department: &Department) -> f64 {
        let weight = |place: usize| 1.0 / (1.0 + 0.6 * small_count(place));
        let leaves = department.leaves;
        let all: f64 = (0..leaves.len()).map(weight).sum();
        let place = leaves.iter().position(|leaf| leaf.name == self.name);
        weight(place.unwrap_or(leaves.len())) / all
    }
}

fn small_count(count: usize) -> f64 {
    f64::from(u8::try_from(count).unwrap_or(u8::MAX))
}

/// What the brand of each position multiplies a price by.
pub(super) const BRAND_PRICE: [f64; 5] = [0.62, 0.84, 1.0, 1.28, 1.75];

/// Names of product lines.
pub(super) const SERIES: [&str; 36] = [
    "Ridge", "Atlas", "Nova", "Harbor", "Ember", "Lumen", "Drift", "Cedar", "Comet", "Meadow",
    "Quarry", "Sable", "Tidal", "Vesper", "Willow", "Zephyr", "Aspen", "Basalt", "Cobalt", "Delta",
    "Echo", "Fjord", "Gale", "Haven", "Indigo", "Juniper", "Kestrel", "Linden", "Maple", "Nimbus",
    "Onyx", "Pioneer", "Quill", "Rowan", "Summit", "Terra",
];

/// Colours.
pub(super) const COLOURS: [&str; 8] = [
    "black", "white", "navy", "forest", "sand", "coral", "slate", "amber",
];

const fn leaf(
    name: &'static str,
    price: f64,
    nouns: [&'static str; 3],
    complements: &'static [&'static str],
) -> Leaf {
    Leaf {
        name,
        price,
        nouns,
        complements,
    }
}

/// The shop, department by department.
pub(super) const DEPARTMENTS: [Department; 10] = [
    RUNNING,
    OUTDOOR,
    ELECTRONICS,
    GAMING,
    KITCHEN,
    HOME,
    BEAUTY,
    TOYS,
    GARDEN,
    BOOKS,
];

const RUNNING: Department = Department {
    name: "running",
    interest: 1.2,
    brands: [
        "Plainfield",
        "Tempo Club",
        "Stride & Co",
        "Norrland",
        "Aerwell",
    ],
    leaves: &[
        leaf(
            "running shoes",
            112.0,
            ["trail running shoes", "road running shoes", "racing flats"],
            &["running socks", "hydration"],
        ),
        leaf(
            "running socks",
            14.0,
            ["merino running socks", "ankle socks", "compression socks"],
            &["running shoes"],
        ),
        leaf(
            "running jackets",
            96.0,
            ["wind jacket", "rain shell", "insulated running vest"],
            &["running tights"],
        ),
        leaf(
            "running tights",
            48.0,
            ["long tights", "split shorts", "half tights"],
            &["running jackets"],
        ),
        leaf(
            "hydration",
            39.0,
            ["hydration vest", "soft flask", "running belt"],
            &["running shoes"],
        ),
        leaf(
            "running watches",
            219.0,
            ["GPS watch", "heart-rate strap", "foot pod"],
            &["running shoes"],
        ),
    ],
};

const OUTDOOR: Department = Department {
    name: "outdoor",
    interest: 0.9,
    brands: ["Campwise", "Greenway", "Hallstatt", "Karst", "Isbre"],
    leaves: &[
        leaf(
            "tents",
            265.0,
            ["two-person tent", "trekking tent", "family tent"],
            &["sleeping bags", "headlamps"],
        ),
        leaf(
            "sleeping bags",
            148.0,
            ["down sleeping bag", "summer sleeping bag", "sleeping mat"],
            &["tents"],
        ),
        leaf(
            "backpacks",
            119.0,
            ["daypack", "trekking backpack", "dry bag"],
            &["hiking boots"],
        ),
        leaf(
            "hiking boots",
            162.0,
            ["hiking boots", "approach shoes", "gaiters"],
            &["backpacks"],
        ),
        leaf(
            "camping stoves",
            64.0,
            ["gas stove", "camping pot set", "insulated mug"],
            &["headlamps"],
        ),
        leaf(
            "headlamps",
            46.0,
            ["rechargeable headlamp", "camp lantern", "pocket torch"],
            &["tents", "camping stoves"],
        ),
    ],
};

const ELECTRONICS: Department = Department {
    name: "electronics",
    interest: 1.5,
    brands: ["Voltline", "Parcel Audio", "Mirai", "Kontrast", "Halden"],
    leaves: &[
        leaf(
            "phones",
            560.0,
            ["smartphone", "compact phone", "folding phone"],
            &["phone cases", "chargers"],
        ),
        leaf(
            "phone cases",
            24.0,
            ["leather phone case", "clear case", "phone wallet"],
            &["phones"],
        ),
        leaf(
            "chargers",
            32.0,
            ["USB-C charger", "power bank", "wireless charging stand"],
            &["phones", "tablets"],
        ),
        leaf(
            "headphones",
            132.0,
            [
                "over-ear headphones",
                "wireless earbuds",
                "studio headphones",
            ],
            &["speakers"],
        ),
        leaf(
            "speakers",
            115.0,
            ["portable speaker", "bookshelf speakers", "soundbar"],
            &["headphones"],
        ),
        leaf(
            "tablets",
            390.0,
            ["tablet", "e-reader", "drawing tablet"],
            &["chargers"],
        ),
    ],
};

const GAMING: Department = Department {
    name: "gaming",
    interest: 1.1,
    brands: ["Pixelworks", "Blue Lantern", "Arcadia", "Ironbyte", "Helix"],
    leaves: &[
        leaf(
            "consoles",
            430.0,
            ["game console", "handheld console", "retro console"],
            &["controllers", "games"],
        ),
        leaf(
            "controllers",
            62.0,
            ["wireless controller", "arcade stick", "racing wheel"],
            &["consoles", "games"],
        ),
        leaf(
            "games",
            54.0,
            ["adventure game", "racing game", "strategy game"],
            &["controllers"],
        ),
        leaf(
            "gaming headsets",
            88.0,
            [
                "gaming headset",
                "wireless gaming headset",
                "desk microphone",
            ],
            &["keyboards"],
        ),
        leaf(
            "keyboards",
            104.0,
            ["mechanical keyboard", "gaming mouse", "desk mat"],
            &["gaming headsets"],
        ),
    ],
};

const KITCHEN: Department = Department {
    name: "kitchen",
    interest: 1.1,
    brands: [
        "Everyday Kitchen",
        "Tablewell",
        "Oak & Copper",
        "Brunner",
        "Maison Lys",
    ],
    leaves: &[
        leaf(
            "coffee machines",
            340.0,
            ["espresso machine", "filter coffee maker", "moka pot"],
            &["coffee beans", "coffee grinders"],
        ),
        leaf(
            "coffee grinders",
            138.0,
            ["burr grinder", "hand grinder", "coffee scale"],
            &["coffee beans", "coffee machines"],
        ),
        leaf(
            "coffee beans",
            16.0,
            ["espresso beans", "filter roast", "decaf beans"],
            &["coffee machines", "coffee grinders"],
        ),
        leaf(
            "knives",
            72.0,
            ["chef's knife", "bread knife", "paring knife set"],
            &["cutting boards"],
        ),
        leaf(
            "cutting boards",
            38.0,
            ["oak cutting board", "carving board", "board set"],
            &["knives"],
        ),
        leaf(
            "pans",
            66.0,
            ["cast-iron pan", "carbon-steel pan", "saucepan"],
            &["cutting boards"],
        ),
    ],
};

const HOME: Department = Department {
    name: "home",
    interest: 1.0,
    brands: [
        "Basics & More",
        "Linnea",
        "Harrow House",
        "Sondre",
        "Atelier Vale",
    ],
    leaves: &[
        leaf(
            "bedding",
            84.0,
            ["linen duvet cover", "cotton sheet set", "wool blanket"],
            &["pillows"],
        ),
        leaf(
            "pillows",
            42.0,
            ["down pillow", "cushion", "memory-foam pillow"],
            &["bedding"],
        ),
        leaf(
            "lamps",
            74.0,
            ["table lamp", "floor lamp", "pendant light"],
            &["rugs"],
        ),
        leaf(
            "candles",
            23.0,
            ["scented candle", "taper candle set", "candle holder"],
            &["pillows"],
        ),
        leaf(
            "rugs",
            158.0,
            ["wool rug", "jute rug", "hallway runner"],
            &["lamps"],
        ),
    ],
};

const BEAUTY: Department = Department {
    name: "beauty",
    interest: 1.0,
    brands: [
        "Puro",
        "Soft Harbour",
        "Verbena Lab",
        "Kalla",
        "Maison Aube",
    ],
    leaves: &[
        leaf(
            "cleansers",
            18.0,
            ["gel cleanser", "cleansing balm", "toner"],
            &["moisturisers", "serums"],
        ),
        leaf(
            "serums",
            34.0,
            ["vitamin C serum", "retinol serum", "hydrating serum"],
            &["cleansers", "moisturisers"],
        ),
        leaf(
            "moisturisers",
            29.0,
            ["day cream", "night cream", "face oil"],
            &["cleansers", "serums"],
        ),
        leaf(
            "sunscreens",
            21.0,
            ["sunscreen SPF 50", "sun stick", "after-sun lotion"],
            &["moisturisers"],
        ),
        leaf(
            "fragrances",
            76.0,
            ["eau de parfum", "cologne", "body mist"],
            &["moisturisers"],
        ),
    ],
};

const TOYS: Department = Department {
    name: "toys",
    interest: 0.8,
    brands: [
        "Tumble",
        "Brightbox",
        "Woodwise",
        "Kinderland",
        "Little Atelier",
    ],
    leaves: &[
        leaf(
            "building sets",
            54.0,
            ["building set", "marble run", "model kit"],
            &["puzzles"],
        ),
        leaf(
            "board games",
            38.0,
            ["family board game", "card game", "cooperative game"],
            &["puzzles"],
        ),
        leaf(
            "puzzles",
            20.0,
            ["1,000-piece puzzle", "wooden puzzle", "puzzle mat"],
            &["board games"],
        ),
        leaf(
            "art supplies",
            19.0,
            ["watercolour set", "colouring pencils", "modelling clay"],
            &["building sets"],
        ),
    ],
};

const GARDEN: Department = Department {
    name: "garden",
    interest: 0.6,
    brands: [
        "Greenhand",
        "Sprout & Spade",
        "Arbour",
        "Thornfield",
        "Kew Works",
    ],
    leaves: &[
        leaf(
            "planters",
            36.0,
            ["terracotta planter", "balcony planter", "self-watering pot"],
            &["seeds", "garden tools"],
        ),
        leaf(
            "seeds",
            7.0,
            ["herb seed set", "wildflower seeds", "tomato seeds"],
            &["planters"],
        ),
        leaf(
            "garden tools",
            32.0,
            ["pruning shears", "hand trowel", "watering can"],
            &["planters"],
        ),
        leaf(
            "grills",
            290.0,
            ["charcoal grill", "gas grill", "grill tool set"],
            &["garden lights"],
        ),
        leaf(
            "garden lights",
            44.0,
            ["string lights", "solar lantern", "path lights"],
            &["grills"],
        ),
    ],
};

const BOOKS: Department = Department {
    name: "books",
    interest: 0.8,
    brands: [
        "Paperlane",
        "Northlight Press",
        "Harbour Editions",
        "Aldus & Sons",
        "Folio Works",
    ],
    leaves: &[
        leaf(
            "cookbooks",
            28.0,
            ["vegetarian cookbook", "baking book", "weeknight cookbook"],
            &["pans"],
        ),
        leaf(
            "novels",
            16.0,
            ["novel", "crime novel", "short stories"],
            &["novels"],
        ),
        leaf(
            "travel guides",
            22.0,
            ["travel guide", "hiking guide", "city map"],
            &["backpacks"],
        ),
        leaf(
            "children's books",
            14.0,
            ["picture book", "bedtime stories", "activity book"],
            &["puzzles"],
        ),
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{DEPARTMENTS, SERIES};

    #[test]
    fn every_name_is_there_once_and_every_complement_exists() {
        let leaves: Vec<_> = DEPARTMENTS.iter().flat_map(|d| d.leaves).collect();
        let names: BTreeSet<_> = leaves.iter().map(|leaf| leaf.name).collect();
        assert_eq!(names.len(), leaves.len());
        for leaf in leaves {
            assert!(!leaf.complements.is_empty(), "{}", leaf.name);
            for other in leaf.complements {
                assert!(names.contains(other), "{} goes with {other}", leaf.name);
            }
        }
        let brands: BTreeSet<_> = DEPARTMENTS.iter().flat_map(|d| d.brands).collect();
        assert_eq!(brands.len(), 50);
        assert_eq!(SERIES.iter().collect::<BTreeSet<_>>().len(), SERIES.len());
    }
}
