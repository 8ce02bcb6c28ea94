//! The device: what completes when, what a power cut leaves, what each fault does.

use super::*;

fn device(seed: u64) -> Device {
    Device::new(Options::new(256, seed))
}

fn sectors(byte: u8, count: usize) -> Vec<u8> {
    vec![byte; count * SECTOR_SIZE]
}

/// Submits and waits; the result of the last completion.
fn carry_out(device: &mut Device, request: Request) -> Result<Vec<u8>, IoError> {
    device.submit(request).unwrap();
    let mut result = Ok(Vec::new());
    device.drain(&mut |completion| result = completion.result);
    result
}

fn first_byte(device: &mut Device, sector: u64) -> u8 {
    carry_out(device, Request::read(sector, 1)).unwrap()[0]
}

fn cut_and_restore(device: &mut Device) {
    device.cut_power(&mut |_| ());
    device.restore_power();
}

#[test]
fn what_is_written_is_read_and_a_discard_reads_as_zeros() {
    let mut device = device(1);
    carry_out(&mut device, Request::write(3, sectors(7, 2))).unwrap();
    assert_eq!(carry_out(&mut device, Request::read(3, 2)), Ok(sectors(7, 2)));
    carry_out(&mut device, Request::discard(4, 1)).unwrap();
    assert_eq!((first_byte(&mut device, 3), first_byte(&mut device, 4)), (7, 0));
}

#[test]
fn a_write_takes_effect_when_it_completes_and_time_runs_to_that_moment() {
    let mut device = device(1);
    let id = device.submit(Request::write(0, sectors(1, 1))).unwrap();
    assert_eq!((device.pristine(0).unwrap()[0], device.now_ns(), device.under_way()), (0, 0, 1));
    let due_ns = device.next_completion_ns().unwrap();
    let mut seen = None;
    assert!(device.step(&mut |completion| seen = Some(completion)));
    let seen = seen.unwrap();
    assert_eq!((seen.id, seen.kind, seen.submitted_ns, seen.completed_ns), (id, OpKind::Write, 0, due_ns));
    assert_eq!((device.pristine(0).unwrap()[0], device.now_ns()), (1, due_ns));
    assert!(!device.step(&mut |_| ()));
}

#[test]
fn requests_complete_out_of_order_and_each_once() {
    let mut device = device(5);
    let submitted: Vec<_> = (0..16).map(|at| device.submit(Request::write(at, sectors(1, 1))).unwrap()).collect();
    let mut completed = Vec::new();
    device.drain(&mut |completion| completed.push(completion.id));
    assert_ne!(completed, submitted);
    completed.sort();
    assert_eq!(completed, submitted);
    assert!(device.counters().out_of_order > 0);
}

#[test]
fn a_full_queue_refuses_and_says_so() {
    let mut device = Device::new(Options { queue_depth: 2, ..Options::new(16, 1) });
    device.submit(Request::flush()).unwrap();
    device.submit(Request::flush()).unwrap();
    assert_eq!(device.submit(Request::flush()), Err(SubmitError::QueueFull { depth: 2 }));
    assert_eq!((device.counters().queue_full, device.counters().queue_depth_highest), (1, 2));
    device.drain(&mut |_| ());
    assert!(device.submit(Request::flush()).is_ok());
}

#[test]
fn malformed_requests_are_refused() {
    let mut device = device(1);
    let refused = |device: &mut Device, request| device.submit(request).unwrap_err();
    assert_eq!(refused(&mut device, Request::read(0, 0)), SubmitError::Length { sectors: 0 });
    assert_eq!(refused(&mut device, Request::write(0, vec![0; 5])), SubmitError::Unaligned { bytes: 5 });
    let past_the_end = SubmitError::OutOfRange { sector: 255, sectors: 2, device_sectors: 256 };
    assert_eq!(refused(&mut device, Request::read(255, 2)), past_the_end);
    assert!(matches!(refused(&mut device, Request::read(u64::MAX, 2)), SubmitError::OutOfRange { .. }));
    assert_eq!(device.under_way(), 0);
}

#[test]
fn a_power_cut_takes_unflushed_sectors_in_any_combination() {
    let mut left = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut device = device(seed);
        carry_out(&mut device, Request::write(0, sectors(1, 2))).unwrap();
        carry_out(&mut device, Request::flush()).unwrap();
        carry_out(&mut device, Request::write(0, sectors(2, 2))).unwrap();
        carry_out(&mut device, Request::write(0, sectors(3, 2))).unwrap();
        cut_and_restore(&mut device);
        left.insert((first_byte(&mut device, 0), first_byte(&mut device, 1)));
    }
    let all: std::collections::BTreeSet<_> = (1..=3).flat_map(|a| (1..=3).map(move |b| (a, b))).collect();
    assert_eq!(left, all);
}

#[test]
fn fua_and_a_flush_survive_every_power_cut() {
    for seed in 0..200 {
        let mut device = device(seed);
        carry_out(&mut device, Request::write(0, sectors(1, 1))).unwrap();
        carry_out(&mut device, Request::flush()).unwrap();
        carry_out(&mut device, Request::write(1, sectors(2, 1)).with_fua()).unwrap();
        carry_out(&mut device, Request::write(2, sectors(3, 1))).unwrap();
        carry_out(&mut device, Request::write(3, sectors(4, 1)).with_preflush().with_fua()).unwrap();
        cut_and_restore(&mut device);
        assert_eq!([0, 1, 2, 3].map(|at| first_byte(&mut device, at)), [1, 2, 3, 4], "seed {seed}");
    }
}

#[test]
fn a_flush_covers_only_what_had_completed_when_it_was_submitted() {
    let mut lost = 0;
    for seed in 0..200 {
        let mut device = device(seed);
        device.submit(Request::flush()).unwrap();
        device.submit(Request::write(0, sectors(1, 1))).unwrap();
        device.drain(&mut |_| ());
        cut_and_restore(&mut device);
        lost += u64::from(first_byte(&mut device, 0) == 0);
    }
    assert!(lost > 20, "{lost} of 200");
}

#[test]
fn a_write_cut_short_after_its_preflush_is_never_there_without_what_the_preflush_covers() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let mut device = device(seed);
        carry_out(&mut device, Request::write(0, sectors(1, 1))).unwrap();
        device.submit(Request::write(9, sectors(9, 1)).with_preflush().with_fua()).unwrap();
        let mut result = None;
        device.cut_power(&mut |completion| result = Some(completion.result));
        assert_eq!(result, Some(Err(IoError::PowerLost)));
        assert_eq!(device.submit(Request::flush()), Err(SubmitError::PowerLost));
        device.restore_power();
        outcomes.insert((first_byte(&mut device, 0), first_byte(&mut device, 9)));
    }
    assert_eq!(outcomes, std::collections::BTreeSet::from([(0, 0), (1, 0), (1, 9)]));
}

#[test]
fn an_arranged_power_cut_comes_after_so_many_completions() {
    let mut device = device(1);
    device.cut_power_after(2);
    for at in 0..4 {
        device.submit(Request::write(at, sectors(1, 1))).unwrap();
    }
    let mut results = Vec::new();
    device.drain(&mut |completion| results.push(completion.result.is_ok()));
    assert_eq!(results, [true, true, false, false]);
    assert!(!device.is_powered());
}

#[test]
fn without_a_volatile_cache_a_completed_write_stays() {
    for seed in 0..50 {
        let mut device = Device::new(Options { cache_is_volatile: false, ..Options::new(16, seed) });
        carry_out(&mut device, Request::write(0, sectors(1, 1))).unwrap();
        cut_and_restore(&mut device);
        assert_eq!(first_byte(&mut device, 0), 1);
    }
}

/// One fault of the plan's kind, in the first 64 sectors.
fn faulty(mut plan: FaultPlan) -> Device {
    plan.sectors = 0..64;
    plan.faults_max = 1;
    Device::new(Options { faults: plan, ..Options::new(256, 2) })
}

#[test]
fn a_read_error_fails_once() {
    let mut device = faulty(FaultPlan { read_error_ppm: 1_000_000, ..FaultPlan::default() });
    assert_eq!(carry_out(&mut device, Request::read(0, 1)), Err(IoError::Read { sector: 0 }));
    assert!(carry_out(&mut device, Request::read(0, 1)).is_ok());
    assert_eq!((device.counters().read_errors, device.counters().faults_withheld), (1, 1));
}

#[test]
fn a_write_error_leaves_each_sector_old_or_new() {
    let mut device = faulty(FaultPlan { write_error_ppm: 1_000_000, ..FaultPlan::default() });
    assert_eq!(carry_out(&mut device, Request::write(0, sectors(1, 8))), Err(IoError::Write { sector: 0 }));
    let left: Vec<u8> = (0..8).map(|at| first_byte(&mut device, at)).collect();
    assert!(left.contains(&0) && left.contains(&1), "{left:?}");
}

#[test]
fn a_torn_write_claims_success_and_the_pristine_store_knows_better() {
    let mut device = faulty(FaultPlan { torn_write_ppm: 1_000_000, ..FaultPlan::default() });
    carry_out(&mut device, Request::write(0, sectors(1, 8))).unwrap();
    let left: Vec<u8> = (0..8).map(|at| first_byte(&mut device, at)).collect();
    assert!(left.contains(&0) && left.contains(&1), "{left:?}");
    assert!((0..8).all(|at| device.pristine(at).unwrap()[0] == 1));
    carry_out(&mut device, Request::write(0, sectors(2, 8))).unwrap();
    assert_eq!(carry_out(&mut device, Request::read(0, 8)), Ok(sectors(2, 8)));
}

#[test]
fn a_misdirected_write_is_missing_where_it_belongs_and_over_something_else() {
    let mut device = faulty(FaultPlan { misdirected_write_ppm: 1_000_000, ..FaultPlan::default() });
    carry_out(&mut device, Request::write(0, sectors(1, 1))).unwrap();
    let left: Vec<u8> = (0..64).map(|at| first_byte(&mut device, at)).collect();
    assert_eq!((left[0], left.into_iter().map(u32::from).sum::<u32>()), (0, 1));
    assert_eq!(device.counters().misdirected_writes, 1);
}

#[test]
fn a_bad_sector_cannot_be_read_until_it_is_written() {
    let mut device = faulty(FaultPlan { latent_sector_ppm: 1_000_000, ..FaultPlan::default() });
    carry_out(&mut device, Request::write(5, sectors(1, 1))).unwrap();
    assert_eq!(carry_out(&mut device, Request::read(4, 4)), Err(IoError::Read { sector: 5 }));
    carry_out(&mut device, Request::write(5, sectors(2, 1))).unwrap();
    assert_eq!(first_byte(&mut device, 5), 2);
}

#[test]
fn faults_stay_in_their_range_and_spare_fua_where_asked() {
    let plan = FaultPlan { torn_write_ppm: 1_000_000, fua_is_spared: true, ..FaultPlan::default() };
    let mut device = faulty(plan);
    carry_out(&mut device, Request::write(64, sectors(1, 8))).unwrap();
    carry_out(&mut device, Request::write(0, sectors(1, 8)).with_fua()).unwrap();
    assert_eq!(device.counters().faults(), 0);
    carry_out(&mut device, Request::write(8, sectors(1, 8))).unwrap();
    assert_eq!(device.counters().torn_writes, 1);
}

#[test]
fn a_full_cache_writes_back_by_itself() {
    let versions = CACHE_VERSIONS_MAX as u64 + 10;
    let mut device = Device::new(Options::new(versions, 1));
    for at in 0..versions {
        carry_out(&mut device, Request::write(at, sectors(1, 1))).unwrap();
    }
    assert_eq!(device.counters().cache_evictions, 10);
    assert!((0..10).all(|at| device.durable(at).unwrap()[0] == 1));
}
