//! The store on a faultless device: what is written is read, what is promised survives, what fails is undone.

use super::super::device::{Device, Options};
use super::*;

const BLOCKS: u32 = 1024;

fn device(seed: u64) -> DirectIo {
    DirectIo::new(Device::new(Options::new(u64::from(BLOCKS) * SECTORS_PER_BLOCK, seed)))
}

fn options() -> FormatOptions {
    FormatOptions { journal_blocks: JOURNAL_BLOCKS_MIN, inodes: 90 }
}

fn fresh() -> Store<DirectIo> {
    let mut io = device(1);
    format(&mut io, options()).unwrap();
    Store::mount(io, MountOptions::default()).unwrap().0
}

fn remount(store: Store<DirectIo>) -> (Store<DirectIo>, Recovery) {
    Store::mount(store.into_io(), MountOptions::default()).unwrap()
}

fn assert_sound(store: &mut Store<DirectIo>) {
    assert_eq!(store.check(false).problems, []);
}

/// Bytes that differ at every place and for every `salt`.
fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ salt).collect()
}

#[test]
fn a_formatted_store_is_empty_and_sound() {
    let mut store = fresh();
    assert_sound(&mut store);
    assert_eq!(store.list(ROOT_INO, 0, 10).unwrap(), []);
    let usage = store.statfs();
    assert_eq!((usage.blocks, usage.inodes), (usage.free_blocks, usage.free_inodes + 1));
}

#[test]
fn data_read_back_is_the_data_written_through_every_level_of_the_block_map() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    let block = BLOCK_SIZE as u64;
    let last_indirect = (DIRECT_BLOCKS as u64 + 252) * block;
    let places = [(0, 5000), (3 * block + 7, 1), (9 * block + 1000, 3000), (last_indirect - 3, 2000)];
    let mut expected = vec![0; last_indirect as usize + 1997];
    for (salt, (offset, len)) in places.into_iter().enumerate() {
        let bytes = pattern(len, salt as u8);
        store.write(ino, offset, &bytes).unwrap();
        expected[offset as usize..offset as usize + len].copy_from_slice(&bytes);
    }
    assert_eq!(store.read(ino, 0, usize::MAX).unwrap(), expected);
    store.sync().unwrap();
    let (mut store, _) = remount(store);
    assert_eq!(store.read(ino, 0, usize::MAX).unwrap(), expected);
    assert_sound(&mut store);
}
