"""All slots of this host and the state machine that brings each to what is wanted of it.

One thread (the loop's) calls everything here; slow work runs in threads and comes back through a
queue. Converging is idempotent: called again with nothing new, it does nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .adopt import adopt_slots, recover_slot
from .causes import Cause, cause_of_error, oom_kills
from .config import StateDir
from .errors import AgentError
from .exit_codes import DEPRECATED
from .journal import Journal
from .leftovers import LeftoverWatch
from .marks import marked_trees
from .metrics import CpuWatch, SlotMeter, SlotUse
from .observe import keeper_lost, observe
from .process_table import ProcessRef, ProcessTable
from .redact import redact
from .runner_process import Started, attach_keeper
from .slots import COMING_UP, ENDED, RUNNING, Slot, gone_report, new_slot, use_package, wants_to_run
from .wire import Ending, Phase, SlotReport, Wanted
from .work import StillBusy, TryAgain, Workshop, bring_up, clean_up, stop

log = logging.getLogger(__name__)

POLL_SECONDS = 1.5
STEADY_SECONDS = 120.0  # a runner that lived this long did not crash in a loop


@dataclass(frozen=True)
class Done:
    """What a thread brings back for a slot: a phase it reached, or its result or error."""

    slot: Slot
    task: str
    result: object = None
    error: Exception | None = None


class Crew:
    """The slots, what is wanted of them, and the work under way for them."""

    def __init__(
        self,
        state_dir: StateDir,
        shop: Workshop,
        journal: Journal,
        boot_id: str,
        poke: Callable[[], None],
    ) -> None:
        self.state_dir = state_dir
        self.shop = shop
        self.journal = journal
        self.boot_id = boot_id
        self.poke = poke
        self.slots: dict[int, Slot] = {}
        self.wanted_ids: set[int] = set()
        self.gone: dict[int, SlotReport] = {}
        self.meter = SlotMeter()
        self.cpu = CpuWatch()
        self.leftovers = LeftoverWatch(state_dir.slots, poke)
        self.table = ProcessTable({})
        self.done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self.dirty = True

    def adopt(self) -> None:
        """Take up what an earlier agent left; once, before anything else."""
        self.slots = adopt_slots(self.state_dir.slots, self.boot_id, self.journal)
        packages = {slot.package_name for slot in self.slots.values()}
        for name in self.shop.packages.sweep(packages, time.time()):
            log.info("package %s was long unused and is deleted", name)

    # --- what the server wants ---------------------------------------------------------------

    def want(self, wanted: Iterable[Wanted]) -> None:
        """Take in the whole wanted set. A runner that is not in it is kept as it is."""
        wanted = list(wanted)
        self.wanted_ids = {one.runner_id for one in wanted}
        self.recover([one for one in wanted if one.runner_id not in self.slots])
        nowhere = [one for one in wanted if not one.run and one.runner_id not in self.slots]
        gone = {one.runner_id: gone_report(one) for one in nowhere}
        self.dirty = self.dirty or gone.keys() != self.gone.keys()
        self.gone = gone
        for one in wanted:
            slot = self.slots.get(one.runner_id)
            if slot is None and one.run:
                slot = self.take_on(one)
            if slot is not None:
                slot.wanted = one
                if one.force and not one.run:
                    slot.force.set()
                elif one.run:
                    slot.force.clear()

    def recover(self, unknown: list[Wanted]) -> None:
        """Take up runners that go on although their records were lost."""
        unknown = [one for one in unknown if one.runner_id not in self.gone]
        if not unknown:
            return
        known = [slot.mark for slot in self.slots.values()]
        trees = {tree.runner_id: tree for tree in marked_trees(self.state_dir.slots, known)}
        for one in unknown:
            if one.runner_id in trees:
                slot = recover_slot(
                    one, self.state_dir.slots, self.boot_id, trees[one.runner_id], self.journal
                )
                self.slots[one.runner_id] = slot
                self.dirty = True

    def take_on(self, wanted: Wanted) -> Slot:
        """Make a slot for a runner."""
        slot = new_slot(wanted, self.state_dir.slots, self.boot_id)
        self.slots[wanted.runner_id] = slot
        self.dirty = True
        return slot

    def retire(self) -> None:
        """Want nothing more: idle runners stop now, busy ones after their job, ended ones go."""
        for slot in list(self.slots.values()):
            if slot.phase is Phase.GONE and not slot.task:
                self.remove(slot)
            elif slot.wanted is None or slot.wanted.run:
                slot.wanted = Wanted(
                    runner_id=slot.runner_id,
                    name=slot.name,
                    slot=slot.number,
                    run=False,
                    force=False,
                    mode=slot.mode,
                    work_folder="",
                    package=None,
                )

    def forget(self, told: dict[int, str]) -> None:
        """Drop slots whose end was told and whose runner is in the wanted set no more."""
        for runner_id, slot in list(self.slots.items()):
            over = slot.phase in ENDED and not slot.task
            if (
                over
                and runner_id not in self.wanted_ids
                and told.get(runner_id) == slot.phase.value
            ):
                self.remove(slot)

    def remove(self, slot: Slot) -> None:
        """Delete an ended slot's record and console."""
        try:
            slot.directory.remove()
        except OSError as err:
            log.warning("slot of runner %d: %s", slot.runner_id, err, extra=slot.ids)
        del self.slots[slot.runner_id]

    def stop_idle(self) -> None:
        """Begin to stop every runner that has no job."""
        for slot in self.slots.values():
            if not slot.task and slot.phase is not Phase.BUSY and slot.phase not in ENDED:
                self.begin_stop(slot)

    def running(self) -> int:
        """Return how many runners have a process."""
        return sum(slot.phase in RUNNING for slot in self.slots.values())

    def stopping(self) -> bool:
        """Return whether something is being stopped or cleaned up now."""
        return any(slot.task in ("stop", "clean-up") for slot in self.slots.values())

    # --- one turn ----------------------------------------------------------------------------

    def turn(self, now: float) -> None:
        """Take in what happened and converge every slot."""
        self.take_results(now)
        running = [slot for slot in self.slots.values() if slot.phase in RUNNING]
        self.table = ProcessTable.read() if running else ProcessTable({})
        if running:
            self.cpu.percent()
        for slot in running:
            if slot.runner is not None and observe(slot, self.table, self.journal, self.cpu):
                self.changed(slot)
        for slot in list(self.slots.values()):
            if not slot.task:
                self.converge(slot, now)

    def next_due(self, now: float) -> float | None:
        """Return when the next turn is due if nothing pokes before; None when nothing is."""
        due = []
        for slot in self.slots.values():
            if slot.phase in RUNNING and slot.phase is not Phase.LISTENING:
                due.append(now + POLL_SECONDS)
            elif slot.retry_at > now and not slot.task:
                due.append(slot.retry_at)
        return min(due) if due else None

    def converge(self, slot: Slot, now: float) -> None:
        """Begin whatever one slot needs next; at most one task a slot at a time."""
        if keeper_lost(slot) and slot.phase in RUNNING:
            self.journal.add("keeper-lost", slot.runner_id)
            self.begin(slot, "attach", self.attach_work(slot))
        elif slot.wanted is not None and not slot.wanted.run:
            free = slot.phase is not Phase.BUSY or slot.force.is_set()
            if slot.phase is not Phase.GONE and free and now >= slot.retry_at:
                self.begin_stop(slot)
        elif slot.over:
            self.begin_clean_up(slot)
        elif slot.wanted is not None:
            self.converge_to_run(slot, slot.wanted, now)

    def converge_to_run(self, slot: Slot, wanted: Wanted, now: float) -> None:
        """Begin what a slot needs in order to run its runner."""
        if slot.phase is Phase.GONE:  # wanted again after it was stopped: from the start
            self.remove(slot)
            self.take_on(wanted)
        elif slot.phase is Phase.STOPPING:  # the stop was called off before anything was done
            slot.phase = Phase.LISTENING
        elif now < slot.retry_at:
            return
        elif slot.phase in COMING_UP or (
            slot.phase is Phase.EXITED and slot.exit_code != DEPRECATED
        ):
            self.begin_bring_up(slot, wanted)

    # --- tasks -------------------------------------------------------------------------------

    def begin(self, slot: Slot, task: str, work: Callable[[], object]) -> None:
        """Run something slow for a slot in a thread; ``take_results`` applies its outcome."""
        slot.task = task

        def run() -> None:
            try:
                outcome = Done(slot, task, result=work())
            except Exception as err:  # noqa: BLE001  (the loop tells expected ones from bugs)
                outcome = Done(slot, task, error=err)
            self.done.put(outcome)
            self.poke()

        threading.Thread(target=run, name=f"{task}-{slot.runner_id}", daemon=True).start()

    def begin_bring_up(self, slot: Slot, wanted: Wanted) -> None:
        """Begin to fetch, prepare, register and start."""
        slot.retry_at = 0.0
        restart = slot.phase is Phase.EXITED

        def report(phase: Phase) -> None:
            # A restart stays "exited" until its process runs: nothing is fetched or registered.
            if not restart or phase is not Phase.FETCHING:
                self.done.put(Done(slot, "phase", result=phase))
                self.poke()

        self.begin(
            slot,
            "bring-up",
            lambda: bring_up(
                self.shop, wanted, slot.directory, slot.mark, report, lambda: wants_to_run(slot)
            ),
        )

    def begin_stop(self, slot: Slot) -> None:
        """Begin to stop and wipe."""
        tree, directory, force = slot.tree, slot.directory, slot.force
        slot.phase = Phase.STOPPING
        self.changed(slot)
        self.begin(slot, "stop", lambda: stop(directory, tree, force))

    def begin_clean_up(self, slot: Slot) -> None:
        """Begin to end and wipe what a runner that will not run again left, once."""
        if not slot.cleaned and time.monotonic() >= slot.retry_at:
            tree, directory = slot.tree, slot.directory
            self.begin(slot, "clean-up", lambda: clean_up(directory, tree))

    def attach_work(self, slot: Slot) -> Callable[[], Started]:
        """Return the work of putting a new keeper beside a runner that lost its own."""
        runner, directory, mark = slot.runner, slot.directory, slot.mark
        if runner is None:
            raise ValueError("only a slot with a runner can lose its keeper")
        return lambda: attach_keeper(directory, self.shop.wake_fifo, runner, mark)

    def take_results(self, now: float) -> None:
        """Apply what threads brought back."""
        while True:
            try:
                done = self.done.get_nowait()
            except queue.Empty:
                return
            slot = done.slot
            if self.slots.get(slot.runner_id) is not slot:
                continue
            if done.task == "phase":
                if isinstance(done.result, Phase):
                    slot.phase = done.result
            else:
                slot.task = ""
                if done.error is None:
                    self.succeeded(slot, done, now)
                else:
                    self.went_wrong(slot, done.task, done.error, now)
            self.changed(slot)

    def succeeded(self, slot: Slot, done: Done, now: float) -> None:
        """Apply a task that did what it should."""
        if isinstance(done.result, Started):
            slot.keeper, slot.runner = done.result.keeper, done.result.runner
        if done.task == "bring-up":
            slot.phase, slot.reason, slot.exit_code = Phase.STARTING, "", None
            slot.cause, slot.oom_kills = Cause.NONE, oom_kills(slot.directory.groups)
            slot.listening, slot.cleaned, slot.exit_noted = False, False, False
            slot.record_lost = False
            slot.boot_id, slot.started_at = self.boot_id, now
            slot.retries.reset()
            use_package(slot)
            log.info("runner %d is started", slot.runner_id, extra=slot.ids)
        elif done.task == "stop":
            slot.phase, slot.reason, slot.job = Phase.GONE, "", None
            slot.cause = Cause.NONE
            slot.save()  # first, so that a crash in between does not stop it once more
            self.journal.add("stopped", slot.runner_id)
            log.info("runner %d is stopped and its slot wiped", slot.runner_id, extra=slot.ids)
        elif done.task == "clean-up":
            slot.cleaned = True

    def went_wrong(self, slot: Slot, task: str, error: Exception, now: float) -> None:
        """Apply a task that failed: wait and try again, or say why not."""
        words = redact(str(error)) if isinstance(error, AgentError) else type(error).__name__
        if not isinstance(error, AgentError):
            log.error("%s of runner %d broke", task, slot.runner_id, exc_info=error, extra=slot.ids)
        if isinstance(error, StillBusy):
            slot.phase, slot.reason = Phase.BUSY, ""
            return
        slot.reason = words
        slot.cause = cause_of_error(error) or Cause.EXIT
        log.warning("%s of runner %d: %s", task, slot.runner_id, words, extra=slot.ids)
        if task == "bring-up" and not isinstance(error, TryAgain):
            slot.phase = Phase.FAILED
            slot.save()
            self.journal.add("failed", slot.runner_id, reason=words, cause=slot.cause.value)
            return
        if task == "bring-up" and slot.phase is Phase.STARTING:
            # A persistent runner keeps its registration; a one-job runner is made from the start.
            keeps = slot.mode == "persistent" and slot.directory.configured
            slot.phase = Phase.EXITED if keeps else Phase.REGISTERING
        wait = slot.retries.next_seconds()
        if isinstance(error, TryAgain) and error.after_seconds is not None:
            wait = max(wait, error.after_seconds)
        slot.retry_at = now + wait

    def changed(self, slot: Slot) -> None:
        """Note that a slot is to be recorded and told at once."""
        if slot.phase is Phase.EXITED and slot.mode == "persistent" and not slot.task:
            self.pace_restart(slot)
        slot.save()
        self.dirty = True

    def pace_restart(self, slot: Slot) -> None:
        """Set when an ended persistent runner may start again: 1, 2, 4 … 60 s."""
        now = time.monotonic()
        if slot.runner is not None:
            if now - slot.started_at > STEADY_SECONDS:
                slot.restarts.reset()
            slot.retry_at = now + slot.restarts.next_seconds()
            slot.runner = slot.keeper = None

    # --- what to tell ------------------------------------------------------------------------

    def endings(self) -> dict[int, Ending]:
        """Return what is still to be told of ends, by runner id."""
        return {
            slot.runner_id: slot.ending
            for slot in self.slots.values()
            if slot.ending is not None and slot.phase in ENDED
        }

    def endings_told(self, told: dict[int, Ending]) -> None:
        """Forget what the server has heard of ends."""
        for runner_id, ending in told.items():
            slot = self.slots.get(runner_id)
            if slot is not None and slot.ending is ending:
                slot.ending = None
                slot.save()

    def reports(self) -> list[SlotReport]:
        """Return every slot as the heartbeat tells it."""
        roots: dict[int, ProcessRef] = {
            slot.runner_id: slot.root
            for slot in self.slots.values()
            if slot.root is not None and slot.phase in RUNNING
        }
        uses = self.meter.read(self.table, roots)
        nothing = SlotUse(0.0, 0)
        told = []
        for slot in self.slots.values():
            use = uses.get(slot.runner_id, nothing)
            told.append(slot.report(use.cpu_percent, use.memory_bytes))
        return told + list(self.gone.values())
