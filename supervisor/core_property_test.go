package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A world is what the core believes to steer: incarnations that start, live, hang and end as they like.
type world struct {
	t       *rapid.T
	core    *core
	now     time.Duration
	live    map[string]*life // by the id of the child: at most one each
	lost    []*life          // abandoned and not ended
	timers  map[string]action
	waiting map[*waiter]bool
	ready   bool
	done    bool
}

type life struct {
	c         *child
	gen       uint64
	startOver bool
	asked     bool // to stop
}

func (w *world) step(ev event) {
	if w.done {
		w.t.Fatal("an event after the end")
	}
	ev.at = w.now
	if ev.w != nil {
		w.waiting[ev.w] = true
	}
	for _, act := range slices.Clone(w.core.step(ev)) {
		w.apply(act)
	}
}

func (w *world) apply(act action) {
	id := ""
	if act.c != nil {
		id = act.c.spec.ID
	}
	present := w.live[id]
	switch act.kind {
	case actStart:
		if present != nil {
			w.t.Fatalf("%s#%d started beside #%d", id, act.gen, present.gen)
		}
		if w.core.state == Stopping {
			w.t.Fatalf("%s#%d started during the stop", id, act.gen)
		}
		if w.core.grouped() && w.core.turn == act.c {
			w.alone(act)
		}
		w.live[id] = &life{c: act.c, gen: act.gen}
	case actStop, actAbandon:
		if present == nil || present.c != act.c || present.gen != act.gen {
			w.t.Fatalf("%s#%d does not live", id, act.gen)
		}
		first := !present.asked
		present.asked = true
		if first && w.core.strategy != Dynamic && act.err != nil && (act.err == w.core.why || act.err == errShutdown) {
			w.alone(act)
		}
		if act.kind == actAbandon {
			delete(w.live, id)
			w.lost = append(w.lost, present)
		}
	case actArm:
		if old, armed := w.timers[id]; armed && old.gen == act.gen && old.timer == act.timer {
			w.t.Fatalf("%s#%d: a second timer", id, act.gen)
		}
		w.timers[id] = act
	case actDisarm:
		delete(w.timers, id)
	case actReply:
		if !w.waiting[act.w] {
			w.t.Fatalf("a second answer: %v", act.err)
		}
		delete(w.waiting, act.w)
	case actReady:
		if w.ready {
			w.t.Fatal("ready twice")
		}
		w.ready = true
	case actDone:
		w.done = true
	}
}

// alone checks that no sibling lives that was started after the child: nobody starts before all that depend on it
// have stopped, nor stops before they have.
func (w *world) alone(act action) {
	for later := act.c.next; later != nil; later = later.next {
		if w.live[later.spec.ID] != nil {
			w.t.Fatalf("%s lives while %s#%d is being started or stopped", later.spec.ID, act.c.spec.ID, act.gen)
		}
	}
}

var errShutdown = errors.New("shutdown")

func (w *world) end(l *life, err error) {
	process := l.c.spec.Process != nil
	if w.live[l.c.spec.ID] == l && (!process || l.startOver) {
		delete(w.live, l.c.spec.ID)
	}
	w.step(event{kind: evExited, c: l.c, gen: l.gen, err: err})
}

func (w *world) start(l *life, err error) {
	early := l.c.early
	if l.startOver = true; err != nil || early {
		delete(w.live, l.c.spec.ID)
	}
	w.step(event{kind: evStarted, c: l.c, gen: l.gen, err: err})
}

func reasons(t *rapid.T) error {
	return rapid.SampledFrom([]error{nil, errBoom}).Draw(t, "reason")
}

func anySpec(t *rapid.T, id string, auto AutoShutdown) Spec {
	sp := Spec{
		ID:       id,
		Restart:  rapid.SampledFrom([]Restart{Permanent, Permanent, Transient, Temporary}).Draw(t, "restart"),
		Shutdown: rapid.SampledFrom([]time.Duration{0, Kill, Infinity}).Draw(t, "shutdown"),
	}
	sp.Significant = auto != Never && sp.Restart != Permanent && rapid.Bool().Draw(t, "significant")
	if rapid.Bool().Draw(t, "process") {
		sp.Process = silent{}
	} else {
		sp.Service = ServiceFunc(patient)
	}
	return sp
}

// Whatever happens in whatever order: there is one incarnation of a child at a time, every caller gets one answer,
// and a stop comes to its end as soon as the children have come to theirs.
func TestCoreKeepsItsPromisesWhateverHappens(t *testing.T) {
	t.Parallel()
	for range nightly(20, 500) {
		rapid.Check(t, checkCore)
	}
}

func checkCore(t *rapid.T) {
	o := anyOptions(t)
	w := &world{t: t, core: newCore(&o, nil), live: map[string]*life{}, timers: map[string]action{}, waiting: map[*waiter]bool{}}
	w.step(event{kind: evBoot})
	ids := rapid.SampledFrom([]string{"0", "1", "2", "3", "4"})
	t.Repeat(map[string]func(*rapid.T){
		"pass":      func(t *rapid.T) { w.now += time.Duration(rapid.IntRange(1, 6000).Draw(t, "ms")) * time.Millisecond },
		"":          func(t *rapid.T) { w.check() },
		"add":       w.unlessDone(func() { w.add(ids.Draw(t, "id")) }),
		"terminate": w.unlessDone(func() { w.step(event{kind: evTerminate, id: ids.Draw(t, "id"), w: &waiter{}}) }),
		"restart":   w.unlessDone(func() { w.step(event{kind: evRestart, id: ids.Draw(t, "id"), w: &waiter{}}) }),
		"delete":    w.unlessDone(func() { w.step(event{kind: evDelete, id: ids.Draw(t, "id"), w: &waiter{}}) }),
		"forget":    w.unlessDone(w.some(func(l *life) { w.step(event{kind: evForget, c: l.c}) })),
		"started": w.unlessDone(w.some(func(l *life) {
			var err error
			if l.c.spec.Process != nil {
				err = reasons(t)
			}
			if !l.startOver {
				w.start(l, err)
			}
		})),
		"exited":   w.unlessDone(w.some(func(l *life) { w.end(l, reasons(t)) })),
		"timer":    w.unlessDone(w.fire),
		"late":     w.unlessDone(w.late),
		"shutdown": w.unlessDone(func() { w.step(event{kind: evShutdown, err: errShutdown}) }),
	})
	w.wrapUp()
}

func anyOptions(t *rapid.T) Options {
	o := Options{
		Strategy:     rapid.SampledFrom([]Strategy{OneForOne, OneForAll, RestForOne, Dynamic}).Draw(t, "strategy"),
		AutoShutdown: rapid.SampledFrom([]AutoShutdown{Never, Never, AnySignificant, AllSignificant}).Draw(t, "auto"),
		MaxChildren:  rapid.SampledFrom([]int{0, 4}).Draw(t, "limit"),
		Budget:       Budget{Failures: rapid.SampledFrom([]int{-1, 1, 3}).Draw(t, "failures")},
		Rand:         func() float64 { return 0.5 },
	}
	if o.Strategy == OneForOne || o.Strategy == Dynamic {
		o.BudgetPerChild = rapid.Bool().Draw(t, "per child")
	}
	if o.Strategy != Dynamic {
		for i := range rapid.IntRange(0, 4).Draw(t, "static") {
			o.Children = append(o.Children, anySpec(t, fmt.Sprint(i), o.AutoShutdown))
		}
	}
	return o.withDefaults()
}

func (w *world) unlessDone(f func()) func(*rapid.T) {
	return func(*rapid.T) {
		if !w.done {
			f()
		}
	}
}

// some calls f with an incarnation, if there is one.
func (w *world) some(f func(l *life)) func() {
	return func() {
		if len(w.live) > 0 {
			f(w.live[rapid.SampledFrom(slices.Sorted(maps.Keys(w.live))).Draw(w.t, "who")])
		}
	}
}

func (w *world) add(id string) {
	w.step(event{kind: evAdd, c: &child{spec: anySpec(w.t, id, w.core.auto)}, w: &waiter{reply: make(chan error, 1)}})
}

func (w *world) fire() {
	if len(w.timers) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(w.timers))).Draw(w.t, "timer")
	act := w.timers[id]
	delete(w.timers, id)
	w.now += act.delay
	w.step(event{kind: evTimer, timer: act.timer, c: act.c, gen: act.gen})
}

func (w *world) late() {
	if len(w.lost) == 0 {
		return
	}
	l := w.lost[0]
	w.lost = w.lost[1:]
	w.step(event{kind: evStarted, c: l.c, gen: l.gen})
	if !w.done {
		w.step(event{kind: evExited, c: l.c, gen: l.gen, err: errBoom})
	}
}

func (w *world) check() {
	n, open := 0, int32(0)
	var before *child
	for c := w.core.first; c != nil; before, c = c, c.next {
		n++
		if c.prev != before || w.core.kids[c.spec.ID] != c {
			w.t.Fatalf("%s is out of line", c.spec.ID)
		}
		if c.recovering {
			open++
		}
		if lives := w.live[c.spec.ID] != nil; lives != (c.state == Starting || c.state == Running || c.state == Stopping) {
			w.t.Fatalf("%s is %v and lives: %v", c.spec.ID, c.state, lives)
		}
		if c.state == BackingOff && w.core.state != Stopping && w.timers[c.spec.ID].timer != timerRestart {
			w.t.Fatalf("%s waits for ever", c.spec.ID)
		}
	}
	w.checkStage()
	if n != len(w.core.kids) || before != w.core.last || open != w.core.meter.open {
		w.t.Fatalf("%d children, %d known; %d in trouble, %d known", n, len(w.core.kids), open, w.core.meter.open)
	}
}

// checkStage checks that what is under way in the group is waiting for something.
func (w *world) checkStage() {
	k := w.core
	goesOn := k.stage == steady || k.stage == starting && k.turn != nil
	for c := k.first; c != nil; c = c.next {
		switch {
		case c.state == Idle && (k.stage == steady && k.state == Running || !k.due(c) && k.state != Stopping):
			w.t.Fatalf("%s is forgotten, stage %v", c.spec.ID, k.stage)
		case k.stage == clearing && (c.state == Stopping || c.state == BackingOff) && k.leads(k.group, c):
			goesOn = true
		case k.stage == clearing && k.leads(k.group, c) && (c.state == Starting || c.state == Running):
			for later := c.next; later != nil; later = later.next {
				goesOn = goesOn || later.state == Stopping
			}
		}
	}
	if !goesOn {
		w.t.Fatalf("stage %v does not go on", k.stage)
	}
}

// wrapUp stops the supervisor and lets everything end.
func (w *world) wrapUp() {
	if !w.done {
		w.step(event{kind: evShutdown, err: errShutdown})
	}
	for !w.done {
		var l *life
		for _, id := range slices.Sorted(maps.Keys(w.live)) {
			if c := w.live[id].c; c.state == Stopping {
				l = w.live[id]
			}
		}
		switch {
		case l == nil:
			w.t.Fatal("the stop does not go on")
		case l.c.spec.Process != nil && !l.startOver:
			w.start(l, errBoom)
		default:
			w.end(l, nil)
		}
	}
	if len(w.waiting) > 0 || len(w.live) > 0 || len(w.core.kids) > 0 {
		w.t.Fatalf("left: %d callers, %d incarnations, %d children", len(w.waiting), len(w.live), len(w.core.kids))
	}
}
