//! A string table that can be merged the way linkers merge: a string that is the tail of another one is not stored again.

#[derive(Clone, Debug)]
pub(crate) struct Strings {
    pub(crate) data: Vec<u8>,
    merge_tails: bool,
}

impl Strings {
    pub(crate) fn new(merge_tails: bool) -> Self {
        Self { data: vec![0], merge_tails }
    }

    /// Offset of `text`. The empty string is byte 0.
    pub(crate) fn add(&mut self, text: &[u8]) -> u64 {
        if text.is_empty() {
            return 0;
        }
        if let Some(offset) = self.find(text) {
            return offset;
        }
        self.append(text)
    }

    /// Stores `text` even where it could be shared: the bytes of the path must be its own unless a test says otherwise.
    pub(crate) fn append(&mut self, text: &[u8]) -> u64 {
        assert!(!text.contains(&0), "a string cannot hold NUL");
        let offset = self.data.len() as u64;
        self.data.extend_from_slice(text);
        self.data.push(0);
        offset
    }

    /// Bytes that nothing refers to, closed by a NUL so that the table still ends in one.
    pub(crate) fn dead(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.data.extend_from_slice(bytes);
            self.data.push(0);
        }
    }

    fn find(&self, text: &[u8]) -> Option<u64> {
        let mut wanted = text.to_vec();
        wanted.push(0);
        let starts = |&at: &usize| self.merge_tails || self.data.get(at.wrapping_sub(1)) == Some(&0);
        (1..self.data.len()).filter(|&at| self.data[at..].starts_with(&wanted)).find(starts).map(|at| at as u64)
    }
}
