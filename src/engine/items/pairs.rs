//! One row of a sparse matrix: the partners of an item, at most K of them, by the Space-Saving rule.

/// Partners with their weights. Invariant: the arrays are of equal length, and no partner stands there twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pairs {
    // Apart from each other, so that looking for a partner reads four bytes an entry.
    ids: Vec<u32>,
    weights: Vec<f32>,
}

/// Where a weight went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To the entry of this index, which was there.
    Found(usize),
    /// To a new entry at the end.
    Appended,
    /// To this index, whose partner had to go.
    Replaced(usize),
}

impl Pairs {
    /// Adds `weight` to `partner`. A full row of `entries_max` replaces its smallest entry, the lowest id on ties, by
    /// `partner` with the smallest weight plus `weight`: what is missing weighs at most that much.
    pub(super) fn add(&mut self, partner: u32, weight: f32, entries_max: usize) -> Place {
        if let Some(index) = self.find(partner) {
            if let Some(found) = self.weights.get_mut(index) {
                *found += weight;
            }
            return Place::Found(index);
        }
        if self.ids.len() < entries_max {
            self.ids.push(partner);
            self.weights.push(weight);
            return Place::Appended;
        }
        let index = self.smallest();
        if let (Some(id), Some(smallest)) = (self.ids.get_mut(index), self.weights.get_mut(index)) {
            *id = partner;
            *smallest += weight;
        }
        Place::Replaced(index)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Partners and weights, in no particular but always the same order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, f32)> {
        self.ids.iter().copied().zip(self.weights.iter().copied())
    }

    /// The index of `partner`.
    pub(super) fn find(&self, partner: u32) -> Option<usize> {
        find(&self.ids, partner)
    }

    /// The weight at `index`; 0 beyond the end.
    pub(super) fn weight(&self, index: usize) -> f32 {
        self.weights.get(index).copied().unwrap_or_default()
    }

    /// Multiplies every weight.
    pub(super) fn scale(&mut self, factor: f32) {
        for weight in &mut self.weights {
            *weight *= factor;
        }
    }

    /// Adds an entry known not to be there.
    pub(super) fn push(&mut self, partner: u32, weight: f32) {
        self.ids.push(partner);
        self.weights.push(weight);
    }

    /// Takes the smallest entries out, the lowest id on ties, until `entries_max` are left; answers their indices in
    /// the order of removal, each filled by what stood last.
    pub(super) fn shrink(&mut self, entries_max: usize) -> Vec<usize> {
        let mut removed = Vec::new();
        while self.ids.len() > entries_max {
            let index = self.smallest();
            self.ids.swap_remove(index);
            self.weights.swap_remove(index);
            removed.push(index);
        }
        removed
    }

    /// Index of the smallest weight, the lowest id on ties; 0 in an empty row.
    fn smallest(&self) -> usize {
        let smallest = minimum(&self.weights);
        let mut best: Option<(u32, usize)> = None;
        for (index, (id, weight)) in self.iter().enumerate() {
            if weight.to_bits() == smallest.to_bits() && best.is_none_or(|(lowest, _)| id < lowest)
            {
                best = Some((id, index));
            }
        }
        best.map_or(0, |(_, index)| index)
    }
}

/// Entries compared at once.
const LANES: usize = 16;

/// The index of `id`, comparing many at once.
fn find(ids: &[u32], id: u32) -> Option<usize> {
    let (chunks, rest) = ids.as_chunks::<LANES>();
    for (chunk, start) in chunks.iter().zip((0..).step_by(LANES)) {
        // No early exit within a chunk: this becomes a handful of vector comparisons.
        let hit = chunk.iter().fold(false, |hit, entry| hit | (*entry == id));
        if hit {
            return chunk
                .iter()
                .position(|entry| *entry == id)
                .map(|index| start + index);
        }
    }
    let start = chunks.len() * LANES;
    rest.iter()
        .position(|entry| *entry == id)
        .map(|index| start + index)
}

/// The smallest of the weights; infinity if there are none.
fn minimum(weights: &[f32]) -> f32 {
    let (chunks, rest) = weights.as_chunks::<LANES>();
    let mut lanes = [f32::INFINITY; LANES];
    for chunk in chunks {
        for (lane, weight) in lanes.iter_mut().zip(chunk) {
            // `f32::min` takes care of what is not a number and costs three times as much.
            *lane = if *weight < *lane { *weight } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::INFINITY, |least, weight| least.min(*weight))
}
