// Draws a product: a quiet two-tone shape by its category, coloured by its attributes or its id. No image files.

const SVG = "http://www.w3.org/2000/svg";

// Shapes in a box of 96 by 96. The first letter says how a path is drawn: f in the product's colour, s in its shade,
// h in its highlight, l as a line in its shade.
const SHAPES = {
  shoe: ["f18 62c0-9 2-17 5-24l9 3c4 7 11 12 20 15 9 2 18 3 23 8 2 2 2 5 1 8H20c-1-3-2-6-2-10z", "s17 72h60v4c0 2-2 4-4 4H22c-3 0-5-2-5-5z", "l38 50l6-5M46 55l6-5M54 58l6-5"],
  sock: ["f36 16h24v30c0 4 1 6 4 9l6 7c4 5 3 12-3 15-4 2-9 1-12-2L38 58c-2-2-2-5-2-8z", "s36 16h24v9H36z", "l36 48c6 0 10 4 11 10"],
  jacket: ["f34 18l14 6 14-6 14 8 4 34-9 2-4-14v32H29V48l-4 14-9-2 4-34z", "s40 16h16l-8 10z", "l48 26v54M36 58h7M53 58h7"],
  tights: ["f32 16h32l4 64H56L48 38l-8 42H28z", "s32 16h32l1 8H31z"],
  flask: ["f36 34h24v40c0 4-3 6-6 6H42c-3 0-6-2-6-6z", "s40 16h16v8H40zM38 25h20v9H38z", "h36 50h24v14H36z"],
  watch: ["s38 14h20l3 18H35zM35 64h26l-3 18H38z", "f48 26a22 22 0 1 0 .01 0z", "h48 33a15 15 0 1 0 .01 0z", "l48 39v9l6 4"],
  tent: ["f48 22L84 74H12z", "s48 22l14 52H48z", "h48 44l9 30H39z", "l48 22v-7M10 74h76"],
  bag: ["f30 34c0-6 5-10 10-10h16c5 0 10 4 10 10v40c0 4-2 6-6 6H36c-4 0-6-2-6-6z", "s36 54h24v20H36z", "l40 24c0-12 16-12 16 0M36 62h24M44 40h8"],
  sleepingbag: ["f34 14h28c6 0 10 5 10 12L60 78c-1 4-4 6-8 6h-8c-4 0-7-2-8-6L24 26c0-7 4-12 10-12z", "s36 20h24c4 0 5 3 5 6 0 6-8 10-17 10s-17-4-17-10c0-3 1-6 5-6z", "l36 48h24M38 60h20"],
  boot: ["f30 16h22v28c5 4 14 6 20 11 3 3 3 7 3 11H28c0-8 2-14 2-22z", "s26 66h50v5c0 4-2 6-6 6H32c-4 0-6-2-6-6z", "l40 28h12M40 36h12M44 46l8-4"],
  flame: ["f48 14c4 12 18 20 18 36 0 12-8 20-18 20s-18-8-18-20c0-8 4-13 8-18 1 4 3 6 5 6 2-8 1-16 5-24z", "h48 46c3 6 8 9 8 15 0 5-4 9-8 9s-8-4-8-9c0-6 5-9 8-15z", "s26 74h44v6H26z"],
  torch: ["f20 42h38v16H20z", "s58 36l12-4v36l-12-4z", "h72 32h4v36h-4z", "l30 42v-6h10v6"],
  phone: ["f34 12h28c4 0 6 2 6 6v60c0 4-2 6-6 6H34c-4 0-6-2-6-6V18c0-4 2-6 6-6z", "h33 20h30v50H33z", "l45 77h6"],
  case: ["f34 12h28c4 0 6 2 6 6v60c0 4-2 6-6 6H34c-4 0-6-2-6-6V18c0-4 2-6 6-6z", "s36 18h10c2 0 4 2 4 4v14c0 2-2 4-4 4H36c-2 0-3-2-3-4V22c0-2 1-4 3-4z", "h41 22a4 4 0 1 0 .01 0zM41 31a4 4 0 1 0 .01 0z"],
  charger: ["f30 38h36v22c0 10-7 16-18 16S30 70 30 60z", "s36 20h6v18h-6zM54 20h6v18h-6z", "l48 76v8M42 56l8-8-2 8h6l-8 8 2-8z"],
  headphones: ["l22 56c0-40 52-40 52 0", "f16 54h10c4 0 6 2 6 6v14c0 4-2 6-6 6-7 0-10-6-10-12zM80 54H70c-4 0-6 2-6 6v14c0 4 2 6 6 6 7 0 10-6 10-12z", "s26 54c4 0 6 2 6 6v14c0 4-2 6-6 6zM70 54c-4 0-6 2-6 6v14c0 4 2 6 6 6z"],
  speaker: ["f32 12h32c3 0 5 2 5 5v62c0 3-2 5-5 5H32c-3 0-5-2-5-5V17c0-3 2-5 5-5z", "s48 42a16 16 0 1 0 .01 0zM48 19a8 8 0 1 0 .01 0z", "h48 51a7 7 0 1 0 .01 0zM48 23a4 4 0 1 0 .01 0z"],
  tablet: ["f20 22h56c4 0 6 2 6 6v40c0 4-2 6-6 6H20c-4 0-6-2-6-6V28c0-4 2-6 6-6z", "h20 28h56v40H20z", "l32 46h22M32 54h30"],
  console: ["f16 40h64c4 0 6 2 6 6v16c0 4-2 6-6 6H16c-4 0-6-2-6-6V46c0-4 2-6 6-6z", "s10 56h76v6c0 4-2 6-6 6H16c-4 0-6-2-6-6z", "h20 46h22v3H20zM72 45a3 3 0 1 0 .01 0z"],
  controller: ["f30 34h36c10 0 16 8 18 22 2 12-2 18-8 18-7 0-9-10-14-12H34c-5 2-7 12-14 12-6 0-10-6-8-18 2-14 8-22 18-22z", "h62 42a3 3 0 1 0 .01 0zM68 48a3 3 0 1 0 .01 0zM56 48a3 3 0 1 0 .01 0zM62 54a3 3 0 1 0 .01 0z", "s30 42h6v5h5v6h-5v5h-6v-5h-5v-6h5z"],
  game: ["f28 14h40c3 0 5 2 5 5v58c0 3-2 5-5 5H28c-3 0-5-2-5-5V19c0-3 2-5 5-5z", "h29 28h38v44H29z", "s23 19c0-3 2-5 5-5h40c3 0 5 2 5 5v3H23z", "f48 36l12 20H36z"],
  keyboard: ["f14 34h68c4 0 6 2 6 6v20c0 4-2 6-6 6H14c-4 0-6-2-6-6V40c0-4 2-6 6-6z", "h16 40h7v6h-7zM27 40h7v6h-7zM38 40h7v6h-7zM49 40h7v6h-7zM60 40h7v6h-7zM71 40h9v6h-9zM16 54h12v6H16zM68 54h12v6H68z", "s32 54h32v6H32z"],
  coffeemachine: ["f26 14h44v16H58v6H42v-6H38v44h34v8H26z", "s42 30h16v6H42z", "h44 52h20v14c0 5-4 8-8 8h-4c-4 0-8-3-8-8z", "l64 56h5v8h-5M50 40v6M56 40v6"],
  grinder: ["f34 40h28l4 40H30z", "s30 28h36l-4 12H34z", "h40 56h16v12H40z", "l48 28V16h22M70 12v8"],
  beans: ["f30 24h36v50c0 5-3 8-8 8H38c-5 0-8-3-8-8z", "s30 24l4-8h28l4 8z", "h48 40c8 0 12 6 12 12s-4 12-12 12-12-6-12-12 4-12 12-12z", "l52 42c-8 5-0 14-8 20"],
  knife: ["f14 54L64 26c6 6 2 16-6 22L34 62z", "s62 26l16-10c4-2 9 5 5 8L68 34z", "l14 54l44-22"],
  board: ["f24 18h48c4 0 6 2 6 6v48c0 4-2 6-6 6H24c-4 0-6-2-6-6V24c0-4 2-6 6-6z", "h66 24a4 4 0 1 0 .01 0z", "l28 34v32M40 28v40M52 34v32"],
  pan: ["f40 30a24 24 0 1 0 .01 0z", "h40 37a17 17 0 1 0 .01 0z", "s61 44L84 32c4-2 7 4 3 6L64 52z"],
  bedding: ["f16 36h64v34c0 4-2 6-6 6H22c-4 0-6-2-6-6z", "h22 24h22c3 0 5 2 5 5v7H18v-7c0-3 1-5 4-5zM54 24h20c3 0 4 2 4 5v7H49v-7c0-3 2-5 5-5z", "s16 46h64v8H16z"],
  pillow: ["f20 26c10 4 46 4 56 0 6-2 9 3 7 9-3 9-3 17 0 26 2 6-1 11-7 9-10-4-46-4-56 0-6 2-9-3-7-9 3-9 3-17 0-26-2-6 1-11 7-9z", "l28 38c6 6 6 14 0 20M68 38c-6 6-6 14 0 20"],
  lamp: ["f34 14h28l12 30H22z", "s45 44h6v30h-6z", "f32 74h32v7H32z", "h38 14h20l3 8H35z"],
  candle: ["f32 40h32v38c0 2-1 4-4 4H36c-3 0-4-2-4-4z", "h32 54h32v16H32z", "s48 14c5 7 7 10 7 14 0 5-3 8-7 8s-7-3-7-8c0-4 2-7 7-14z", "l48 34v6"],
  rug: ["f20 20h56v56H20z", "h28 28h40v40H28z", "s48 32l16 16-16 16-16-16z", "l20 20v56M76 20v56M14 26h6M14 40h6M14 54h6M14 68h6M76 26h6M76 40h6M76 54h6M76 68h6"],
  tube: ["f34 14h28l-4 52H38z", "s38 66h20v14H38z", "h36 34h24l-1 14H37z", "l34 14h28"],
  dropper: ["f34 42h28v34c0 4-2 6-6 6H40c-4 0-6-2-6-6z", "s42 12h12v14H42zM38 28h20v8H38z", "h34 54h28v16H34z", "l48 36v20"],
  jar: ["f22 40h52v30c0 6-4 10-10 10H32c-6 0-10-4-10-10z", "s22 24h52c2 0 3 1 3 3v10H19V27c0-2 1-3 3-3z", "h30 50h36v16H30z"],
  perfume: ["f28 36h40v40c0 4-2 6-6 6H34c-4 0-6-2-6-6z", "s42 26h12v10H42zM38 14h20v10H38z", "h34 48h28v22H34z"],
  blocks: ["f16 50h30v30H16z", "s50 50h30v30H50z", "h33 18h30v30H33z", "l26 60h10M60 60h10M43 28h10"],
  cards: ["s30 24l34-8 12 50-34 8z", "f20 22h36v54H20z", "h38 36l9 13-9 13-9-13z"],
  puzzle: ["f18 30h16c-4-14 18-14 14 0h18v16c14-4 14 18 0 14v18H48c4-14-18-14-14 0H18z"],
  palette: ["f48 18c20 0 34 12 34 26 0 10-8 12-14 12h-8c-6 0-8 5-5 10 3 6 0 12-8 12-20 0-33-14-33-30s14-30 34-30z", "h34 34a5 5 0 1 0 .01 0zM52 28a5 5 0 1 0 .01 0zM68 36a5 5 0 1 0 .01 0z", "s30 50a5 5 0 1 0 .01 0z"],
  planter: ["f26 50h44l-5 30H31z", "s22 42h52v9H22z", "h48 42c-2-12-10-18-20-18 0 12 8 18 20 18zM48 36c2-12 10-20 20-20 0 14-8 20-20 20z"],
  seeds: ["f26 14h44v62c0 4-2 6-6 6H32c-4 0-6-2-6-6z", "s26 14h44v14H26z", "h48 66c-12-4-16-14-12-26 12 4 16 14 12 26z", "l48 66V46"],
  shears: ["f46 50L26 16c-6 4-5 12 2 20zM50 50L70 16c6 4 5 12-2 20z", "l46 48l14 24M50 48L36 72", "s56 70l8-4 8 14c2 4-5 8-8 4zM40 70l-8-4-8 14c-2 4 5 8 8 4z"],
  grill: ["f18 34h60c0 20-12 30-30 30S18 54 18 34z", "s16 28h64v6H16z", "l36 62l-8 22M60 62l8 22M36 20c4-4-2-6 2-10M48 20c4-4-2-6 2-10M60 20c4-4-2-6 2-10"],
  lights: ["l8 26c26 22 54 22 80 0", "s24 36h6v6h-6zM45 41h6v6h-6zM66 36h6v6h-6z", "f27 42a9 9 0 1 0 .01 0zM48 47a10 10 0 1 0 .01 0zM69 42a9 9 0 1 0 .01 0z", "h27 46a4 4 0 1 0 .01 0zM48 52a4 4 0 1 0 .01 0zM69 46a4 4 0 1 0 .01 0z"],
  book: ["f26 14h42c3 0 5 2 5 5v58H30c-4 0-7 2-7 5V18c0-2 1-4 3-4z", "s23 82c0-3 3-5 7-5h43v5z", "h36 28h26v5H36zM36 38h18v4H36z"],
  map: ["f14 26l22-8v52l-22 8z", "s36 18l24 8v52l-24-8z", "f60 26l22-8v52l-22 8z", "h48 34c6 0 9 4 9 9 0 6-9 15-9 15s-9-9-9-15c0-5 3-9 9-9z"],
};

const CATEGORY = {
  "running shoes": "shoe", "running socks": "sock", "running jackets": "jacket", "running tights": "tights",
  hydration: "flask", "running watches": "watch", tents: "tent", "sleeping bags": "sleepingbag",
  backpacks: "bag", "hiking boots": "boot", "camping stoves": "flame", headlamps: "torch",
  phones: "phone", "phone cases": "case", chargers: "charger", headphones: "headphones",
  speakers: "speaker", tablets: "tablet", consoles: "console", controllers: "controller",
  games: "game", "gaming headsets": "headphones", keyboards: "keyboard", "coffee machines": "coffeemachine",
  "coffee grinders": "grinder", "coffee beans": "beans", knives: "knife", "cutting boards": "board",
  pans: "pan", bedding: "bedding", pillows: "pillow", lamps: "lamp", candles: "candle", rugs: "rug",
  cleansers: "tube", serums: "dropper", moisturisers: "jar", sunscreens: "tube", fragrances: "perfume",
  "building sets": "blocks", "board games": "cards", puzzles: "puzzle", "art supplies": "palette",
  planters: "planter", seeds: "seeds", "garden tools": "shears", grills: "grill",
  "garden lights": "lights", cookbooks: "book", novels: "book", "travel guides": "map",
  "children's books": "book",
};

// Hue and saturation of the colours that shops name; others come from the id.
const COLOUR = {
  black: [220, 8, 30], white: [40, 14, 88], navy: [222, 42, 38], forest: [152, 32, 36], sand: [38, 38, 68],
  coral: [10, 64, 64], slate: [212, 14, 50], amber: [36, 78, 56],
};

/// A small, stable number from text.
export function hash(text) {
  let value = 2166136261;
  for (let i = 0; i < text.length; i += 1) {
    value = Math.imul(value ^ text.charCodeAt(i), 16777619);
  }
  return value >>> 0;
}

/// An `svg` element that stands for the product; decorative, because the title stands beside it.
export function picture(item) {
  const id = item?.itemId ?? "";
  const categories = item?.categories ?? [];
  const root = element("svg", { viewBox: "0 0 96 96", "aria-hidden": "true", focusable: "false" });
  const department = categories[0] ?? id;
  const backdrop = hash(department) % 360;
  root.append(element("rect", { x: -48, y: -48, width: 192, height: 192, fill: `hsl(${backdrop} 34% 93%)` }));
  const [hue, saturation, lightness] = COLOUR[item?.attributes?.colour] ?? [hash(id) % 360, 36, 52];
  const shade = Math.max(lightness - 14, 16);
  const light = lightness > 76 ? 97 : Math.min(lightness + 24, 88);
  const tones = {
    f: `hsl(${hue} ${saturation}% ${lightness}%)`,
    s: `hsl(${hue} ${saturation}% ${shade}%)`,
    h: `hsl(${hue} ${Math.max(saturation - 8, 6)}% ${light}%)`,
  };
  root.append(element("ellipse", { cx: 48, cy: 85, rx: 28, ry: 3, fill: `hsl(${backdrop} 24% 82%)` }));
  const shape = SHAPES[CATEGORY[categories.at(-1)]] ?? abstract(id);
  for (const part of shape) {
    const path = `M${part.slice(1)}`;
    root.append(part[0] === "l"
      ? element("path", { d: path, fill: "none", stroke: tones.s, "stroke-width": 2.5, "stroke-linecap": "round", "stroke-linejoin": "round" })
      : element("path", { d: path, fill: tones[part[0]] }));
  }
  return root;
}

/// For categories without a shape: a few calm forms from the id.
function abstract(id) {
  const bits = hash(id);
  const left = 14 + (bits % 12);
  const top = 22 + ((bits >>> 4) % 14);
  const size = 34 + ((bits >>> 8) % 14);
  const round = 10 + ((bits >>> 12) % 8);
  return [
    `f${left} ${top}h${size}v${80 - top}H${left}z`,
    `s${left + size} ${80 - size}L${left + size + 26} 80H${left + size - 26}z`,
    `h${left + size} ${top - 6}a${round} ${round} 0 1 0 .01 0z`,
  ];
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  return made;
}
