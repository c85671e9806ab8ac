// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small world of processes, which carries out what the plan wants and checks what must hold in every state of it.

use std::collections::BTreeMap;

use super::{super::*, SECOND};

/// A process of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TestProcess {
    pub(super) generation: u32,
    pub(super) booted: bool,
    pub(super) open: bool,
    pub(super) told: bool,
    pub(super) killed: bool,
    pub(super) seen: Seen,
    pub(super) resident: u64,
}

/// A template of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TestTemplate {
    pub(super) generation: u32,
    pub(super) loaded: bool,
    pub(super) told: bool,
    pub(super) killed: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Entry {
    Happened(Time, Event),
    Done(Action),
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Time,
    pub(super) processes: BTreeMap<u16, TestProcess>,
    pub(super) templates: BTreeMap<u16, TestTemplate>,
    /// Processes that were made by a template.
    pub(super) forks: usize,
    pub(super) waiting: usize,
    pub(super) up: bool,
    pub(super) most: u32,
    pub(super) events: Vec<LifeEvent>,
    pub(super) history: Vec<Entry>,
}

pub(super) struct Eyes<'w>(&'w BTreeMap<u16, TestProcess>, usize);

impl Look for Eyes<'_> {
    fn slot(&self, slot: u16) -> Seen {
        self.0.get(&slot).map(|process| process.seen).unwrap_or_default()
    }

    fn waiting(&self) -> usize {
        self.1
    }

    fn resident(&self, slot: u16) -> u64 {
        self.0.get(&slot).map_or(0, |process| process.resident)
    }
}

pub(super) fn life(least: u32, most: u32) -> Life {
    Life { least, most, ..Life::default() }
}

impl World {
    pub(super) fn new(life: Life) -> Self {
        Self::with(life, false)
    }

    pub(super) fn with(life: Life, preload: bool) -> Self {
        let mut plan = Plan::new(life, 1, Plan::slots_for(life.most));
        plan.set_preload(preload);
        let mut world = Self {
            plan,
            now: SECOND,
            processes: BTreeMap::new(),
            templates: BTreeMap::new(),
            forks: 0,
            waiting: 0,
            up: true,
            most: life.most,
            events: Vec::new(),
            history: Vec::new(),
        };
        world.happens(Event::Tick);
        world
    }

    pub(super) fn happens(&mut self, event: Event) {
        self.history.push(Entry::Happened(self.now, event));
        match event {
            Event::Exited(slot, _) | Event::NotStarted(slot) => drop(self.processes.remove(&slot)),
            Event::Ready(slot) => self.processes.get_mut(&slot).unwrap().booted = true,
            Event::TemplateReady(number) => self.templates.get_mut(&number).unwrap().loaded = true,
            Event::TemplateEnded(number) => drop(self.templates.remove(&number)),
            _ => {}
        }
        let actions = self.plan.handle(event, self.now, &Eyes(&self.processes, self.waiting));
        for action in actions {
            self.history.push(Entry::Done(action));
            self.carry_out(action);
        }
        self.check();
    }

    fn carry_out(&mut self, action: Action) {
        let known = |slot: &u16| self.processes.contains_key(slot);
        match action {
            Action::Start(slot, generation) => {
                assert!(!known(&slot), "{self}");
                self.processes.insert(slot, TestProcess { generation, ..TestProcess::default() });
            }
            Action::Fork(slot, generation, number) => {
                assert!(!known(&slot), "{self}");
                let template = self.templates[&number];
                assert!(template.loaded && !template.told && template.generation == generation, "{self}");
                self.processes.insert(slot, TestProcess { generation, ..TestProcess::default() });
                self.forks += 1;
            }
            Action::Load(number, generation) => {
                assert!(!self.templates.contains_key(&number), "{self}");
                self.templates.insert(number, TestTemplate { generation, ..TestTemplate::default() });
            }
            Action::TermTemplate(number) => {
                let template = self.templates.get_mut(&number).unwrap();
                assert!(!std::mem::replace(&mut template.told, true) && !template.killed);
            }
            Action::KillTemplate(number) => {
                let template = self.templates.get_mut(&number).unwrap();
                assert!(!std::mem::replace(&mut template.killed, true));
            }
            Action::Clear(slot) => assert!(!known(&slot), "{self}"),
            Action::Condition(up) => {
                assert_ne!(self.up, up, "{self}");
                self.up = up;
                if !up {
                    self.waiting = 0;
                }
            }
            Action::Tell(events) => self.events.push(events),
            Action::Nudge(slot) => {
                assert!(self.processes[&slot].told && !self.processes[&slot].killed, "{self}")
            }
            Action::Open(slot) | Action::Close(slot) | Action::Term(slot) | Action::Kill(slot) => {
                assert!(known(&slot), "{self}");
                let process = self.processes.get_mut(&slot).unwrap();
                let before = *process;
                match action {
                    Action::Open(_) => {
                        process.open = true;
                        assert!(before.booted && !before.open && !before.told, "{self}");
                    }
                    Action::Close(_) => {
                        process.open = false;
                        assert!(before.open, "{self}");
                    }
                    Action::Term(_) => {
                        process.told = true;
                        assert!(!before.told && !before.open && !before.killed, "{self}");
                    }
                    _ => {
                        process.killed = true;
                        assert!(!before.killed && !before.open, "{self}");
                    }
                }
            }
        }
    }

    fn check(&self) {
        assert!(!(self.plan.is_stopped() && self.up), "requests wait for nobody: {self}");
        let open: Vec<_> = self.processes.values().filter(|process| process.open).collect();
        assert!(open.len() <= self.most as usize, "{self}");
        let generations: std::collections::BTreeSet<_> =
            open.iter().map(|process| process.generation).collect();
        assert!(generations.len() <= 1, "two generations serve: {self}");
        if self.waiting > 0 && self.plan.retired.is_none() {
            // Also the end of one that has been killed comes.
            let killed = self.processes.values().any(|process| process.killed)
                || self.templates.values().any(|template| template.killed);
            assert!(
                killed || !self.up || !open.is_empty() || self.plan.wakes(self.now).is_some(),
                "nobody comes: {self}"
            );
        }
        for process in self.processes.values().filter(|process| process.told && !process.killed) {
            assert!(self.plan.wakes(self.now).is_some(), "{process:?} would stay: {self}");
        }
        for template in self.templates.values().filter(|template| template.told && !template.killed) {
            assert!(self.plan.wakes(self.now).is_some(), "{template:?} would stay: {self}");
        }
        let is_of_now = |template: &&TestTemplate| !template.told && !template.killed;
        let of_now: Vec<_> = self.templates.values().filter(is_of_now).collect();
        let of_this = of_now.iter().filter(|template| template.generation == self.plan.generation).count();
        let of_before =
            of_now.iter().filter(|template| Some(template.generation) == self.plan.kept()).count();
        assert!(of_this <= 1 && of_before <= 1 && of_this + of_before == of_now.len(), "templates: {self}");
        let is_used = !self.processes.is_empty() || self.waiting > 0 || self.plan.life.least > 0;
        let is_looked_at = self.plan.wakes(self.now).is_some();
        assert!(of_now.is_empty() || is_used || is_looked_at, "nobody needs it: {self}");
    }

    pub(super) fn open(&self) -> usize {
        self.processes.values().filter(|process| process.open).count()
    }

    pub(super) fn slots(&self, wanted: impl Fn(&TestProcess) -> bool) -> Vec<u16> {
        self.processes.iter().filter(|(_, process)| wanted(process)).map(|(slot, _)| *slot).collect()
    }

    /// What may happen next.
    pub(super) fn possible(&self) -> Vec<Step> {
        let other = if self.plan.is_stopped() { Step::Resume } else { Step::Stop };
        let mut steps = vec![Step::Wake, Step::Restart, Step::Demand, other];
        for (slot, process) in &self.processes {
            if !process.booted {
                steps.push(Step::Ready(*slot));
            }
            if process.open {
                steps.push(Step::Work(*slot));
            }
            steps.push(Step::Crash(*slot));
        }
        for (number, template) in &self.templates {
            if !template.loaded {
                steps.push(Step::Load(*number));
            }
            steps.push(Step::CrashTemplate(*number));
        }
        steps
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Wake => {
                let Some(at) = self.plan.wakes(self.now) else { return };
                assert!(at > self.now, "a loop: {self}");
                self.now = at;
                self.happens(Event::Tick);
            }
            Step::Restart => self.happens(Event::Restart(RestartReason::Command)),
            Step::Stop => self.happens(Event::Stop),
            Step::Resume => self.happens(Event::Resume),
            Step::Demand => {
                if self.up || self.open() > 0 {
                    self.waiting = 1;
                    self.happens(Event::Demand);
                }
            }
            Step::Ready(slot) => self.happens(Event::Ready(slot)),
            Step::Work(slot) => {
                let process = self.processes.get_mut(&slot).unwrap();
                process.resident += 60;
                let seen = &mut process.seen;
                seen.claims = 1 - seen.claims;
                seen.served += u64::from(seen.claims);
            }
            Step::Crash(slot) => self.happens(Event::Exited(slot, false)),
            Step::Load(number) => self.happens(Event::TemplateReady(number)),
            Step::CrashTemplate(number) => self.happens(Event::TemplateEnded(number)),
        }
    }

    /// From now on everybody does what is wanted, until nothing is left to do within two minutes.
    pub(super) fn settle(&mut self, boots: bool) {
        let end = self.now + SECOND * 130;
        for round in 0.. {
            assert!(round < 5000, "no end: {self}");
            for process in self.processes.values_mut() {
                process.seen.claims = 0;
            }
            if self.open() > 0 {
                self.waiting = 0;
            }
            let of_templates = |wanted: fn(&TestTemplate) -> bool| {
                self.templates.iter().find(|(_, template)| wanted(template)).map(|(number, _)| *number)
            };
            if let Some(number) = of_templates(|template| template.killed || template.told) {
                self.happens(Event::TemplateEnded(number));
            } else if let Some(number) = of_templates(|template| !template.loaded) {
                self.happens(if boots { Event::TemplateReady(number) } else { Event::TemplateEnded(number) });
            } else if let Some(slot) = self.slots(|process| process.killed || process.told).first() {
                self.happens(Event::Exited(*slot, false));
            } else if let Some(slot) = self.slots(|process| !process.booted).first() {
                self.happens(if boots { Event::Ready(*slot) } else { Event::Exited(*slot, false) });
            } else if self.plan.wakes(self.now).is_some_and(|at| at < end) {
                self.step(Step::Wake);
            } else {
                return;
            }
        }
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for entry in &self.history {
            match entry {
                Entry::Happened(now, event) => writeln!(f, "{now:?} {event:?}")?,
                Entry::Done(action) => writeln!(f, "    {action:?}")?,
            }
        }
        write!(f, "{:?}\n{:?}\n{:#?}", self.processes, self.templates, self.plan)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Wake,
    Restart,
    Demand,
    Ready(u16),
    Work(u16),
    Crash(u16),
    Stop,
    Resume,
    Load(u16),
    CrashTemplate(u16),
}
