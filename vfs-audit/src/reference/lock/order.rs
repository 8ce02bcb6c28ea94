//! The order in which lock classes are acquired: a graph that must stay without cycles.
//!
//! An edge `a -> b` says that some task acquired `b` while it held `a`. An acquisition that would close a cycle is an
//! inversion, whether or not the tasks ever meet. Instances of one class are told apart by their place ([`Nest`]) only.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(doc)]
use super::class::Nest;
use super::class::ORDER_KEYS_MAX;

const WORDS: usize = ORDER_KEYS_MAX / 64;

/// The graph; edges are only ever added.
#[derive(Debug)]
pub(crate) struct Order {
    /// Direct successors of each key, as bits.
    edges: Vec<[AtomicU64; WORDS]>,
}

impl Order {
    /// A graph without edges.
    pub(crate) fn new() -> Self {
        Self { edges: (0..ORDER_KEYS_MAX).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect() }
    }

    /// Adds an edge; true when that closes a cycle, in which case it is not added.
    pub(crate) fn add(&self, from: usize, to: usize) -> bool {
        let (word, bit) = (to / 64, 1u64 << (to % 64));
        if self.edges[from][word].load(Ordering::Relaxed) & bit != 0 {
            return false;
        }
        if from == to || self.reaches(to, from) {
            return true;
        }
        self.edges[from][word].fetch_or(bit, Ordering::Relaxed);
        false
    }

    /// Whether there is a way from one key to the other.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = [0u64; WORDS];
        let mut open = vec![from];
        while let Some(key) = open.pop() {
            if key == to {
                return true;
            }
            for (word, seen) in seen.iter_mut().enumerate() {
                let mut new = self.edges[key][word].load(Ordering::Relaxed) & !*seen;
                *seen |= new;
                while new != 0 {
                    open.push(word * 64 + new.trailing_zeros() as usize);
                    new &= new - 1;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn an_edge_that_closes_a_cycle_is_found_over_any_number_of_steps() {
        let order = Order::new();
        assert!(!order.add(1, 2));
        assert!(!order.add(2, 70));
        assert!(!order.add(70, 150));
        assert!(!order.add(1, 150));
        assert!(order.add(150, 1));
        assert!(order.add(70, 2));
        assert!(order.add(5, 5));
        assert!(!order.add(1, 150), "a refused edge leaves the graph as it was");
    }
}
