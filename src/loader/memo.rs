//! Answers that were given before, for many threads at once.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{PoisonError, RwLock};

use foldhash::fast::RandomState;

/// Threads that ask for different things seldom wait for the same part.
const PARTS: usize = 32;

/// Answers by what was asked.
#[derive(Debug)]
pub(crate) struct Memo<K, V> {
    state: RandomState,
    parts: [RwLock<HashMap<K, V, RandomState>>; PARTS],
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        // One start for all, so that a question is hashed in the same way for each part.
        let state = RandomState::default();
        let parts = std::array::from_fn(|_| RwLock::new(HashMap::with_hasher(state.clone())));
        Self { state, parts }
    }
}

impl<K: Hash + Eq, V: Clone> Memo<K, V> {
    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&RwLock<HashMap<K, V, RandomState>>> {
        // A table takes the low bits, and what tells entries of one place apart the highest ones.
        let part = (self.state.hash_one(key) >> 40) % u64::try_from(PARTS).unwrap_or(1);
        self.parts.get(usize::try_from(part).unwrap_or(0))
    }

    /// The answer that was given.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.part(key)?.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps an answer; the first one stays.
    pub(crate) fn put(&self, key: K, value: V) -> V {
        let Some(part) = self.part(&key) else { return value };
        part.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(value).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_stays() {
        let memo: Memo<String, usize> = Memo::default();
        for number in 0..1000 {
            assert_eq!(memo.get(&number.to_string()), None);
            assert_eq!(memo.put(number.to_string(), number), number);
            assert_eq!(memo.put(number.to_string(), 7), number);
        }
        assert!((0..1000).all(|number| memo.get(number.to_string().as_str()) == Some(number)));
        let filled = memo.parts.iter().filter(|part| !part.read().unwrap().is_empty()).count();
        assert_eq!(filled, PARTS, "spread over all parts");
    }
}
