//! The store on a faultless device: what is written is read, what is promised survives, what fails is undone.

use super::super::device::{Device, FaultPlan, IoError, Options, SectorFault};
use super::*;

const BLOCKS: u32 = 1024;

fn device(seed: u64) -> DirectIo {
    DirectIo::new(Device::new(Options::new(u64::from(BLOCKS) * SECTORS_PER_BLOCK, seed)))
}

fn options() -> FormatOptions {
    FormatOptions { journal_blocks: 192, inodes: 90 }
}

fn fresh() -> Store<DirectIo> {
    let mut io = device(1);
    format(&mut io, options()).unwrap();
    Store::mount(io, MountOptions::default()).unwrap().0
}

fn remount(store: Store<DirectIo>) -> (Store<DirectIo>, Recovery) {
    Store::mount(store.into_io(), MountOptions::default()).unwrap()
}

fn crash(store: Store<DirectIo>) -> (Store<DirectIo>, Recovery) {
    let mut io = store.into_io();
    io.device_mut().cut_power(&mut |_| ());
    io.device_mut().restore_power();
    Store::mount(io, MountOptions::default()).unwrap()
}

fn names(store: &mut Store<DirectIo>, dir: Ino) -> Vec<String> {
    let entries = store.list(dir, 0, usize::MAX).unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
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

#[test]
fn a_file_cut_short_gives_its_blocks_back_and_shows_zeros_when_extended() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    let before = store.statfs();
    store.write(ino, 0, &pattern(300 * BLOCK_SIZE, 1)).unwrap();
    store.commit().unwrap();
    for keep in [270 * BLOCK_SIZE + 5, 20 * BLOCK_SIZE, 3 * BLOCK_SIZE + 100] {
        store.set_size(ino, keep as u64).unwrap();
        assert_sound(&mut store);
    }
    store.set_size(ino, 5 * BLOCK_SIZE as u64).unwrap();
    let mut expected = pattern(300 * BLOCK_SIZE, 1)[..3 * BLOCK_SIZE + 100].to_vec();
    expected.resize(5 * BLOCK_SIZE, 0);
    assert_eq!(store.read(ino, 0, usize::MAX).unwrap(), expected);
    store.set_size(ino, 0).unwrap();
    assert_eq!(store.statfs(), before);
}

#[test]
fn a_hole_reads_as_zeros_and_has_no_block() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    store.write(ino, 5 * BLOCK_SIZE as u64, b"end").unwrap();
    assert_eq!(store.map_block(ino, 0).unwrap(), None);
    assert!(store.map_block(ino, 5).unwrap().is_some());
    assert_eq!(store.read(ino, 0, BLOCK_SIZE).unwrap(), vec![0; BLOCK_SIZE]);
    assert_eq!(store.inode(ino).unwrap().blocks, 1);
    assert_eq!(store.map_block(ino, FILE_BLOCKS_MAX), Err(Error::FileTooLarge { logical: FILE_BLOCKS_MAX }));
}

#[test]
fn a_directory_grows_and_keeps_every_name_findable() {
    let mut store = fresh();
    let made: Vec<String> = (0..60).map(|at| format!("entry-{at}")).collect();
    for name in &made {
        store.create(ROOT_INO, name.as_bytes(), Kind::File, 0o644).unwrap();
    }
    assert_eq!(names(&mut store, ROOT_INO), made);
    let page = store.list(ROOT_INO, 0, 20).unwrap();
    let rest = store.list(ROOT_INO, page[19].position + 1, usize::MAX).unwrap();
    assert_eq!((page.len(), rest.len()), (20, 40));
    store.unlink(ROOT_INO, b"entry-3").unwrap();
    assert_eq!(store.lookup(ROOT_INO, b"entry-3").unwrap(), None);
    assert!(store.lookup(ROOT_INO, b"entry-59").unwrap().is_some());
}

#[test]
fn names_that_cannot_be_are_refused() {
    let mut store = fresh();
    let longest = vec![b'x'; NAME_LEN_MAX];
    store.create(ROOT_INO, &longest, Kind::File, 0o644).unwrap();
    for name in [&b""[..], b"a/b", b"a\0b", &[b'x'; NAME_LEN_MAX + 1]] {
        assert_eq!(store.create(ROOT_INO, name, Kind::File, 0), Err(Error::Name { bytes: name.len() }));
    }
    assert_eq!(store.create(ROOT_INO, &longest, Kind::File, 0), Err(Error::Exists { dir: ROOT_INO }));
    assert_sound(&mut store);
}

#[test]
fn a_rename_moves_replaces_and_refuses() {
    let mut store = fresh();
    let a = store.create(ROOT_INO, b"a", Kind::Directory, 0o755).unwrap();
    let b = store.create(a, b"b", Kind::Directory, 0o755).unwrap();
    let file = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    let other = store.create(b, b"other", Kind::File, 0o644).unwrap();
    assert_eq!(store.rename((ROOT_INO, b"a"), (b, b"a")), Err(Error::Loop { ino: a }));
    assert_eq!(store.rename((ROOT_INO, b"file"), (ROOT_INO, b"a")), Err(Error::IsDirectory { ino: a }));
    assert_eq!(store.rename((ROOT_INO, b"none"), (b, b"x")), Err(Error::NoEntry { dir: ROOT_INO }));
    assert_eq!(store.rename((ROOT_INO, b"file"), (b, b"other")), Ok(Some((other, 0))));
    store.free_inode(other).unwrap();
    assert_eq!(store.rename((a, b"b"), (ROOT_INO, b"b")), Ok(None));
    assert_eq!((store.parent(b), store.lookup(b, b"other").unwrap().unwrap().ino), (Ok(ROOT_INO), file));
    assert_eq!(store.rename((ROOT_INO, b"a"), (ROOT_INO, b"b")), Err(Error::NotEmpty { ino: b }));
    store.exchange((ROOT_INO, b"a"), (b, b"other")).unwrap();
    assert_eq!((names(&mut store, ROOT_INO), store.parent(a)), (vec!["a".into(), "b".into()], Ok(b)));
    assert_sound(&mut store);
}

#[test]
fn links_and_symbolic_links_count_and_resolve() {
    let mut store = fresh();
    let file = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    store.link(file, ROOT_INO, b"again").unwrap();
    assert_eq!(store.unlink(ROOT_INO, b"file"), Ok((file, 1)));
    let link = store.symlink(ROOT_INO, b"link", b"../target").unwrap();
    assert_eq!(store.read_symlink(link).unwrap(), b"../target");
    assert_eq!(store.read_symlink(file), Err(Error::NoInode { ino: file }));
    let dir = store.create(ROOT_INO, b"dir", Kind::Directory, 0o755).unwrap();
    assert_eq!(store.link(dir, ROOT_INO, b"second"), Err(Error::IsDirectory { ino: dir }));
    assert_sound(&mut store);
}

#[test]
fn a_handle_that_fails_leaves_nothing_behind() {
    let mut store = fresh();
    let before = store.statfs();
    let result = store.transact(|store| {
        store.create(ROOT_INO, b"one", Kind::File, 0o644)?;
        store.create(ROOT_INO, b"one", Kind::File, 0o644)
    });
    assert_eq!(result, Err(Error::Exists { dir: ROOT_INO }));
    assert_eq!((store.statfs(), names(&mut store, ROOT_INO).len()), (before, 0));
    store.begin().unwrap();
    store.create(ROOT_INO, b"two", Kind::File, 0o644).unwrap();
    assert_eq!(store.commit(), Err(Error::HandleOpen));
    store.cancel();
    assert_eq!(store.end(), Err(Error::NoHandle));
    assert_eq!(names(&mut store, ROOT_INO).len(), 0);
    assert_sound(&mut store);
}

#[test]
fn a_full_store_refuses_and_is_usable_after_space_is_freed() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"big", Kind::File, 0o644).unwrap();
    let mut offset = 0;
    let error = loop {
        match store.write(ino, offset, &pattern(8 * BLOCK_SIZE, 3)) {
            Ok(()) => offset += 8 * BLOCK_SIZE as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::NoSpace);
    assert_sound(&mut store);
    assert_eq!(store.read(ino, offset - 8, 100).unwrap(), pattern(8 * BLOCK_SIZE, 3)[8 * BLOCK_SIZE - 8..]);
    store.set_size(ino, 0).unwrap();
    store.write(ino, 0, &pattern(100 * BLOCK_SIZE, 4)).unwrap();
    assert_sound(&mut store);
}

#[test]
fn what_was_synced_is_replayed_and_what_was_not_is_gone() {
    let mut store = fresh();
    let kept = store.create(ROOT_INO, b"kept", Kind::File, 0o644).unwrap();
    store.write(kept, 0, b"promised").unwrap();
    store.fsync(kept).unwrap();
    store.create(ROOT_INO, b"lost", Kind::File, 0o644).unwrap();
    let (mut store, recovery) = crash(store);
    assert_eq!((recovery.transactions, names(&mut store, ROOT_INO)), (1, vec!["kept".into()]));
    assert_eq!(store.read(kept, 0, 100).unwrap(), b"promised");
    assert_sound(&mut store);
}

#[test]
fn an_unlinked_file_that_was_open_at_the_crash_is_freed_by_the_mount() {
    let mut store = fresh();
    let before = store.statfs();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    store.write(ino, 0, &pattern(5000, 1)).unwrap();
    assert_eq!(store.unlink(ROOT_INO, b"file"), Ok((ino, 0)));
    store.sync().unwrap();
    assert_eq!(store.check(true).problems, []);
    assert_eq!(store.check(false).problems, [Problem::InodeLeaked { ino }]);
    let (mut store, recovery) = crash(store);
    assert_eq!(recovery.orphans, 1);
    assert_sound(&mut store);
    // The root directory keeps the block it has grown by.
    assert_eq!(store.statfs(), Usage { free_blocks: before.free_blocks - 1, ..before });
}

#[test]
fn a_clean_unmount_leaves_nothing_to_replay() {
    let mut store = fresh();
    store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    let mut io = store.unmount().unwrap();
    io.device_mut().cut_power(&mut |_| ());
    io.device_mut().restore_power();
    let (mut store, recovery) = Store::mount(io, MountOptions::default()).unwrap();
    assert_eq!((recovery, names(&mut store, ROOT_INO)), (Recovery::default(), vec!["file".into()]));
}

#[test]
fn the_log_wraps_and_every_commit_stays_readable() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    for round in 0..=255 {
        store.write(ino, 0, &[round; 10]).unwrap();
        store.fsync(ino).unwrap();
    }
    assert!(store.counters().checkpoints >= 3, "{:?}", store.counters());
    let (mut store, _) = crash(store);
    assert_eq!(store.read(ino, 0, 10).unwrap(), [255; 10]);
}

fn sector_of(nr: BlockNr) -> u64 {
    u64::from(nr) * SECTORS_PER_BLOCK
}

#[test]
fn a_lost_superblock_is_read_from_its_copy() {
    let mut store = fresh();
    store.io_mut().device_mut().inject(0, SectorFault::Unreadable);
    let (store, recovery) = remount(store);
    assert!(recovery.superblock_copy_was_used);
    let mut io = store.into_io();
    io.device_mut().inject(sector_of(BLOCKS - 1), SectorFault::Unreadable);
    let error = Store::mount(io, MountOptions::default()).unwrap_err();
    assert_eq!(error, Error::Io(IoError::Read { sector: 0 }));
}

#[test]
fn damaged_metadata_is_reported_when_it_is_read() {
    let store = fresh();
    let table = store.layout().inode_table();
    let mut io = store.unmount().unwrap();
    io.device_mut().inject(sector_of(table) + 1, SectorFault::Holds(Box::new([0xA5; 512])));
    let error = Store::mount(io, MountOptions::default()).unwrap_err();
    assert_eq!(error, Error::Corrupt { kind: BlockKind::InodeTable, nr: table });
}

#[test]
fn damage_to_a_committed_transaction_is_reported_not_replayed() {
    let mut store = fresh();
    store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    store.commit().unwrap();
    let start = store.layout().journal_start();
    let io = store.into_io();
    let log_blocks = 6;
    for at in 0..log_blocks - 1 {
        let mut io = io.clone();
        io.device_mut().inject(sector_of(start + at), SectorFault::Holds(Box::new([0; 512])));
        let error = Store::mount(io, MountOptions::default()).unwrap_err();
        assert_eq!(error, Error::JournalDamaged { sequence: 1 }, "log block {at}");
    }
}

#[test]
fn a_stale_copy_of_a_log_block_is_seen_though_its_own_seal_is_whole() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    store.commit().unwrap();
    // The block of the inode table before and after: both sealed, only one committed.
    let start = store.layout().journal_start();
    let table = store.layout().inode_table();
    let mut older = [0; BLOCK_SIZE];
    store.io_mut().read(table, &mut older).unwrap();
    let mut io = store.into_io();
    let mut newer = [0; BLOCK_SIZE];
    let at = (start..start + 6)
        .find(|nr| {
            io.read(*nr, &mut newer).unwrap();
            sealed::is_sealed(&newer, BlockKind::InodeTable, table)
        })
        .unwrap();
    assert_ne!(older, newer);
    for (sector, bytes) in older.chunks(512).enumerate() {
        let held = Box::new(bytes.try_into().unwrap());
        io.device_mut().inject(sector_of(at) + sector as u64, SectorFault::Holds(held));
    }
    let error = Store::mount(&mut io, MountOptions::default()).unwrap_err();
    assert_eq!(error, Error::JournalDamaged { sequence: 1 });
    let mutant = MountOptions { mutant: Some(Mutant::ReplayWithoutChecksum), ..MountOptions::default() };
    // Without the checksum the inode bitmap and the inode table of two different moments are put side by side.
    assert_eq!(Store::mount(&mut io, mutant).unwrap_err(), Error::NoInode { ino });
}

#[test]
fn a_failed_commit_makes_the_store_read_only() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    store.fsync(ino).unwrap();
    let sectors = 0..sector_of(BLOCKS);
    let plan = FaultPlan { write_error_ppm: 1_000_000, sectors, faults_max: 1, ..FaultPlan::default() };
    store.io_mut().device_mut().set_faults(plan);
    store.create(ROOT_INO, b"second", Kind::File, 0o644).unwrap();
    assert!(matches!(store.sync(), Err(Error::Io(IoError::Write { .. }))));
    assert!(store.is_aborted());
    assert_eq!(store.create(ROOT_INO, b"third", Kind::File, 0o644), Err(Error::Aborted));
    assert_eq!(store.fsync(ino), Err(Error::Aborted));
    assert!(store.lookup(ROOT_INO, b"file").unwrap().is_some());
    let (mut store, _) = crash(store);
    assert!(store.lookup(ROOT_INO, b"file").unwrap().is_some());
    assert_sound(&mut store);
}

#[test]
fn an_fsync_after_a_failed_one_writes_the_data_again() {
    let mut store = fresh();
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    store.write(ino, 0, &pattern(BLOCK_SIZE, 1)).unwrap();
    store.fsync(ino).unwrap();
    store.write(ino, 0, &pattern(BLOCK_SIZE, 2)).unwrap();
    let plan = FaultPlan { write_error_ppm: 1_000_000, sectors: 0..sector_of(BLOCKS), ..FaultPlan::default() };
    store.io_mut().device_mut().set_faults(FaultPlan { faults_max: 1, ..plan });
    assert!(matches!(store.fsync(ino), Err(Error::Io(IoError::Write { .. }))));
    store.fsync(ino).unwrap();
    let (mut store, _) = crash(store);
    assert_eq!(store.read(ino, 0, BLOCK_SIZE).unwrap(), pattern(BLOCK_SIZE, 2));
}

#[test]
fn a_store_that_does_not_fit_is_refused() {
    let refused = |blocks: u64, options| {
        let mut io = DirectIo::new(Device::new(Options::new(blocks * SECTORS_PER_BLOCK, 1)));
        format(&mut io, options).unwrap_err()
    };
    assert_eq!(refused(100, options()), Error::Geometry { blocks: 100 });
    let short = FormatOptions { journal_blocks: JOURNAL_BLOCKS_MIN - 1, ..options() };
    assert_eq!(refused(1024, short), Error::Geometry { blocks: 1024 });
}

/// A block access with a page cache of its own: it holds data back until the store asks for it.
struct Buffered {
    below: DirectIo,
    dirty: std::collections::BTreeMap<BlockNr, std::sync::Arc<Block>>,
}

impl BlockIo for Buffered {
    fn blocks(&self) -> BlockNr {
        self.below.blocks()
    }

    fn read(&mut self, nr: BlockNr, block: &mut Block) -> Result<(), IoError> {
        self.below.read(nr, block)
    }

    fn write(&mut self, writes: &[(BlockNr, std::sync::Arc<Block>)], durability: Durability) -> Result<(), IoError> {
        self.below.write(writes, durability)
    }

    fn flush(&mut self) -> Result<(), IoError> {
        self.below.flush()
    }

    fn write_back(&mut self, blocks: &[BlockNr]) -> Result<(), IoError> {
        let writes: Vec<_> = blocks.iter().filter_map(|nr| Some((*nr, self.dirty.remove(nr)?))).collect();
        self.below.write(&writes, Durability::Cached)
    }

    fn forget(&mut self, nr: BlockNr) {
        self.dirty.remove(&nr);
    }
}

#[test]
fn a_caller_with_its_own_page_cache_has_new_blocks_written_before_the_commit_and_freed_ones_forgotten() {
    let mut io = Buffered { below: device(1), dirty: std::collections::BTreeMap::new() };
    format(&mut io, options()).unwrap();
    let mut store = Store::mount(io, MountOptions { clean_blocks_max: 0, ..MountOptions::default() }).unwrap().0;
    let ino = store.create(ROOT_INO, b"file", Kind::File, 0o644).unwrap();
    let mut mapped = Vec::new();
    for logical in 0..3 {
        let new = store.allocate_mapped_block(ino, logical).unwrap();
        assert!(new.is_new);
        store.io_mut().dirty.insert(new.nr, std::sync::Arc::new([logical as u8 + 1; BLOCK_SIZE]));
        mapped.push(new.nr);
    }
    store.update_inode(ino, |inode| inode.size = 3 * BLOCK_SIZE as u64).unwrap();
    store.truncate(ino, 2 * BLOCK_SIZE as u64).unwrap();
    assert!(!store.io().dirty.contains_key(&mapped[2]));
    store.fsync(ino).unwrap();
    assert_eq!((store.io().dirty.len(), store.allocate_mapped_block(ino, 1).unwrap().is_new), (0, false));
    let (mut store, _) = crash(Store::mount(store.into_io().below, MountOptions::default()).unwrap().0);
    let expected = [[1; BLOCK_SIZE], [2; BLOCK_SIZE]].concat();
    assert_eq!(store.read(ino, 0, usize::MAX).unwrap(), expected);
}
