//! The simulated block device: a bounded request queue, simulated time, a volatile write cache, seeded faults.
//!
//! Requests are submitted, and [`Device::step`] lets simulated time run to the next completion and hands it to the
//! caller's hook: the hook runs in whatever context the caller simulates (an interrupt), the device knows no locks.
//! Requests complete out of order. A write takes effect when it completes, first in the volatile cache; a flush makes
//! durable what had *completed* before the flush was submitted; FUA makes a write durable before it completes. A power
//! cut leaves of every unflushed sector its durable contents or any later version, and of a request under way any subset
//! of its sectors.
//!
//! # What this does not model
//! Order between overlapping requests under way (as on hardware, there is none), merging, priorities, timeouts, partial
//! success of a read, and a device that lies about a flush.

mod counters;
mod fault;
mod latency;
mod media;
mod request;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

pub use counters::Counters;
pub use fault::{FaultPlan, SectorFault};
pub use latency::Latency;
pub use media::CACHE_VERSIONS_MAX;
pub use request::{
    Completion, IoError, Op, OpKind, REQUEST_SECTORS_MAX, Request, RequestId, SECTOR_SIZE, Sector, SubmitError,
};

use self::fault::{Overlay, WriteFault};
use self::media::{Media, Survival};
use super::rng::Rng;

/// The depth of the request queue where none is asked for.
pub const QUEUE_DEPTH_DEFAULT: usize = 32;

/// Completions of FUA writes that the device remembers the numbers of.
pub const FUA_COMPLETIONS_MAX: usize = 64;

/// What a device is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its size.
    pub sectors: u64,
    /// Most requests under way at once.
    pub queue_depth: usize,
    /// Whether completed writes wait in a cache that a power cut may lose.
    pub cache_is_volatile: bool,
    /// How long requests take.
    pub latency: Latency,
    /// Which faults strike.
    pub faults: FaultPlan,
    /// Where all chance comes from.
    pub seed: u64,
}

impl Options {
    /// A faultless device of `sectors` sectors with a volatile cache.
    pub fn new(sectors: u64, seed: u64) -> Self {
        Self {
            sectors,
            queue_depth: QUEUE_DEPTH_DEFAULT,
            cache_is_volatile: true,
            latency: Latency::default(),
            faults: FaultPlan::default(),
            seed,
        }
    }
}

#[derive(Debug, Clone)]
struct InFlight {
    request: Request,
    submitted_ns: u64,
    /// The writes that had completed at submission: what a flush covers.
    covers: u64,
}

/// A simulated block device.
#[derive(Debug, Clone)]
pub struct Device {
    sectors: u64,
    queue_depth: usize,
    latency: Latency,
    media: Media,
    overlay: Overlay,
    queue: BTreeMap<(u64, RequestId), InFlight>,
    latency_rng: Rng,
    power_rng: Rng,
    now_ns: u64,
    next_id: u64,
    newest_completed: u64,
    powered: bool,
    cut_at_completion: Option<u64>,
    fua_completions: VecDeque<u64>,
    counters: Counters,
}

impl Device {
    /// A device whose sectors are all zero and durable.
    pub fn new(options: Options) -> Self {
        let part = |label| Rng::part(options.seed, label);
        Self {
            sectors: options.sectors,
            queue_depth: options.queue_depth.max(1),
            latency: options.latency,
            media: Media::new(options.sectors, options.cache_is_volatile),
            latency_rng: part(1),
            power_rng: part(2),
            overlay: Overlay::new(options.faults, part(3)),
            queue: BTreeMap::new(),
            now_ns: 0,
            next_id: 0,
            newest_completed: 0,
            powered: true,
            cut_at_completion: None,
            fua_completions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Its size in sectors.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Simulated time, in nanoseconds since the device was made.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Counters since the device was made.
    pub fn counters(&self) -> Counters {
        Counters { cache_evictions: self.media.evictions, faults_withheld: self.overlay.withheld, ..self.counters }
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue takes another request.
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.queue_depth
    }

    /// When the next completion is due, in simulated nanoseconds.
    pub fn next_completion_ns(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((due_ns, _), _)| *due_ns)
    }

    /// Queues a request. It takes effect when a later [`Device::step`] completes it.
    ///
    /// # Errors
    /// The queue is full, the request is malformed, or the power is off.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, SubmitError> {
        if !self.powered {
            return Err(SubmitError::PowerLost);
        }
        request.validate(self.sectors)?;
        if !self.has_room() {
            self.counters.queue_full += 1;
            return Err(SubmitError::QueueFull { depth: self.queue_depth });
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let due_ns = self.now_ns + self.latency.of(&request, &mut self.latency_rng);
        let in_flight = InFlight { request, submitted_ns: self.now_ns, covers: self.media.order() };
        self.queue.insert((due_ns, id), in_flight);
        self.counters.submitted += 1;
        self.counters.queue_depth_highest = self.counters.queue_depth_highest.max(self.queue.len() as u64);
        Ok(id)
    }

    /// Lets time run to the next completion and hands it to `hook`; false where nothing is under way.
    ///
    /// Where a power cut is due, every request under way completes with [`IoError::PowerLost`] instead.
    pub fn step(&mut self, hook: &mut dyn FnMut(Completion)) -> bool {
        if self.cut_at_completion.is_some_and(|at| self.counters.completed >= at) && !self.queue.is_empty() {
            self.cut_power(hook);
            return true;
        }
        let Some(((due_ns, id), in_flight)) = self.queue.pop_first() else { return false };
        self.now_ns = self.now_ns.max(due_ns);
        self.counters.completed += 1;
        self.counters.out_of_order += u64::from(id.0 < self.newest_completed);
        self.newest_completed = self.newest_completed.max(id.0);
        let result = self.carry_out(&in_flight);
        hook(self.completion(id, &in_flight, result));
        true
    }

    /// How many requests had completed when each of the last FUA writes had: the moments at which something becomes
    /// durable, and near which a power cut tells most.
    pub fn fua_completions(&self) -> impl Iterator<Item = u64> {
        self.fua_completions.iter().copied()
    }

    /// Steps until nothing is under way.
    pub fn drain(&mut self, hook: &mut dyn FnMut(Completion)) {
        while self.step(hook) {}
    }

    /// Arranges for the power to go when `completions` more requests have completed and another one is under way.
    pub fn cut_power_after(&mut self, completions: u64) {
        self.cut_at_completion = Some(self.counters.completed + completions);
    }

    /// Cuts the power now: the cache and the requests under way are lost in part or whole, as the seed says. Every
    /// request under way completes with [`IoError::PowerLost`].
    pub fn cut_power(&mut self, hook: &mut dyn FnMut(Completion)) {
        self.cut_at_completion = None;
        self.powered = false;
        self.counters.power_cuts += 1;
        let queue = std::mem::take(&mut self.queue);
        for in_flight in queue.values() {
            self.interrupt(in_flight);
        }
        self.counters.sectors_lost += self.media.lose_power(&mut self.power_rng);
        for ((_, id), in_flight) in queue {
            self.counters.completed += 1;
            hook(self.completion(id, &in_flight, Err(IoError::PowerLost)));
        }
    }

    /// Whether the device has power.
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Gives the device power again, its cache empty, and forgets a cut that was arranged and has not come.
    pub fn restore_power(&mut self) {
        self.powered = true;
        self.cut_at_completion = None;
    }

    /// Replaces the plan of faults; faults that have struck remain.
    pub fn set_faults(&mut self, plan: FaultPlan) {
        self.overlay.set_plan(plan);
    }

    /// Puts a fault on a sector by hand.
    pub fn inject(&mut self, sector: u64, fault: SectorFault) {
        self.overlay.put(sector, fault);
    }

    /// What a device without faults would read from `sector`; none past the end.
    pub fn pristine(&self, sector: u64) -> Option<&[u8]> {
        (sector < self.sectors).then(|| self.media.newest(sector))
    }

    /// What a power cut now could not take from `sector`; none past the end.
    pub fn durable(&self, sector: u64) -> Option<&[u8]> {
        (sector < self.sectors).then(|| self.media.durable_sector(sector))
    }

    fn completion(&self, id: RequestId, in_flight: &InFlight, result: Result<Vec<u8>, IoError>) -> Completion {
        Completion {
            id,
            kind: in_flight.request.kind(),
            sector: in_flight.request.sector,
            result,
            submitted_ns: in_flight.submitted_ns,
            completed_ns: self.now_ns,
        }
    }

    fn carry_out(&mut self, in_flight: &InFlight) -> Result<Vec<u8>, IoError> {
        let request = &in_flight.request;
        if request.preflush {
            self.media.flush(in_flight.covers);
            self.counters.preflush_writes += u64::from(request.kind() == OpKind::Write);
        }
        match &request.op {
            Op::Read { sectors } => self.read(request.sector, *sectors),
            Op::Write { data } => self.write(request.sector, data, request.fua),
            Op::Flush => {
                self.counters.flushes += 1;
                self.media.flush(in_flight.covers);
                Ok(Vec::new())
            }
            Op::Discard { sectors } => {
                self.counters.discards += 1;
                self.media.next_write();
                for sector in request.sector..request.sector + sectors {
                    self.media.write(sector, &[0; SECTOR_SIZE], request.fua);
                    self.overlay.heal(sector, request.fua);
                }
                Ok(Vec::new())
            }
        }
    }

    fn read(&mut self, start: u64, sectors: u64) -> Result<Vec<u8>, IoError> {
        self.counters.reads += 1;
        self.counters.sectors_read += sectors;
        if self.overlay.read_fails(&(start..start + sectors)) {
            self.counters.read_errors += 1;
            return Err(IoError::Read { sector: start });
        }
        let mut data = Vec::with_capacity(sectors as usize * SECTOR_SIZE);
        for sector in start..start + sectors {
            match self.overlay.fault_at(sector) {
                None => data.extend_from_slice(self.media.newest(sector)),
                Some(SectorFault::Holds(held)) => data.extend_from_slice(&held[..]),
                Some(SectorFault::Unreadable) => {
                    self.counters.read_errors += 1;
                    return Err(IoError::Read { sector });
                }
            }
        }
        Ok(data)
    }

    fn write(&mut self, start: u64, data: &[u8], fua: bool) -> Result<Vec<u8>, IoError> {
        let sectors = start..start + (data.len() / SECTOR_SIZE) as u64;
        self.counters.writes += 1;
        if fua {
            self.counters.fua_writes += 1;
            self.fua_completions.push_back(self.counters.completed);
            if self.fua_completions.len() > FUA_COMPLETIONS_MAX {
                self.fua_completions.pop_front();
            }
        }
        self.counters.sectors_written += sectors.end - sectors.start;
        self.media.next_write();
        let fault = self.overlay.write_fault(&sectors, fua);
        if fault == Some(WriteFault::Error) {
            self.counters.write_errors += 1;
            self.write_some(start, data);
            return Err(IoError::Write { sector: start });
        }
        for (sector, bytes) in sectors.zip(data.chunks_exact(SECTOR_SIZE)) {
            let goes_astray = match fault {
                Some(WriteFault::Torn) => !self.overlay.sector_is_written(),
                Some(WriteFault::Misdirected { .. }) => true,
                Some(WriteFault::Latent { .. } | WriteFault::Error) | None => false,
            };
            if goes_astray {
                let seen = self.seen(sector);
                self.overlay.heal(sector, fua);
                self.overlay.overwrite(sector, &seen);
            } else {
                self.overlay.heal(sector, fua);
            }
            self.media.write(sector, bytes, fua);
        }
        self.finish_fault(fault, data);
        Ok(Vec::new())
    }

    fn finish_fault(&mut self, fault: Option<WriteFault>, data: &[u8]) {
        match fault {
            None | Some(WriteFault::Error) => {}
            Some(WriteFault::Torn) => self.counters.torn_writes += 1,
            Some(WriteFault::Misdirected { to }) => {
                self.counters.misdirected_writes += 1;
                for (sector, bytes) in (to..).zip(data.chunks_exact(SECTOR_SIZE)) {
                    self.overlay.overwrite(sector, bytes);
                }
            }
            Some(WriteFault::Latent { at }) => {
                self.counters.latent_sectors += 1;
                self.overlay.put(at, SectorFault::Unreadable);
            }
        }
    }

    /// What a read of `sector` would see, as far as it sees anything.
    fn seen(&self, sector: u64) -> Sector {
        let mut seen = [0; SECTOR_SIZE];
        match self.overlay.fault_at(sector) {
            Some(SectorFault::Holds(held)) => seen.copy_from_slice(&held[..]),
            Some(SectorFault::Unreadable) | None => seen.copy_from_slice(self.media.newest(sector)),
        }
        seen
    }

    /// A write that fails has written any of its sectors.
    fn write_some(&mut self, start: u64, data: &[u8]) {
        for (sector, bytes) in (start..).zip(data.chunks_exact(SECTOR_SIZE)) {
            if self.overlay.sector_is_written() {
                self.media.write(sector, bytes, false);
            }
        }
    }

    /// The power goes while this request is under way: its flush may have ended, and only then any of its sectors may
    /// have been written.
    fn interrupt(&mut self, in_flight: &InFlight) {
        let request = &in_flight.request;
        let flushes = request.preflush || request.kind() == OpKind::Flush;
        if flushes {
            if self.power_rng.below(2) == 0 {
                return;
            }
            self.media.flush(in_flight.covers);
        }
        let Op::Write { data } = &request.op else { return };
        self.media.next_write();
        let survival = Survival::draw(&mut self.power_rng);
        for (sector, bytes) in (request.sector..).zip(data.chunks_exact(SECTOR_SIZE)) {
            if survival.versions_kept(1, &mut self.power_rng) == 1 {
                self.media.write(sector, bytes, request.fua);
                self.overlay.heal(sector, request.fua);
            }
        }
    }
}
