package supervisor

import (
	"context"
	"errors"
	"time"
)

// The core decides. It has no goroutine, no clock and no I/O: an event goes in, actions come out, and the time is
// a value in the event. The runtime carries the actions out, in order, and reports what comes of them as events.

// A State is what a child, or a supervisor, is doing.
type State uint8

// The states.
const (
	// Idle: a child whose turn to start has not come, also while its group is being restarted; a supervisor that is
	// not being served.
	Idle State = iota
	// Starting: its start is not complete.
	Starting
	// Running: it is up.
	Running
	// BackingOff: it has failed and waits for the end of its back-off.
	BackingOff
	// Stopping: it was asked to stop.
	Stopping
	// Down: it has ended or was terminated. Its spec is kept, and it is started when that is asked for, or together
	// with its group.
	Down
	// gone: it is no child any more.
	gone
)

// String returns the name of s.
func (s State) String() string {
	return [...]string{"idle", "starting", "running", "backing off", "stopping", "down", "gone"}[min(s, gone)]
}

// next says what follows when an incarnation that was asked to stop has ended.
type next uint8

const (
	thenDrop  next = iota // the child is removed
	thenDown              // its spec is kept
	thenWait              // it is started when the turn comes to it in its group
	thenStart             // a new incarnation is started
	thenFail              // its start has failed, for the reason in rare
)

// A child is kept small: there may be many thousands. Its fields belong to the core, run excepted.
type child struct {
	spec       Spec
	prev, next *child // siblings in the order of their starts
	rare       *rare
	wait       *waiter  // callers to be answered
	run        *running // the runtime's; nil while an idle Process has neither timer nor context
	gen        uint64
	since      time.Duration // when the incarnation was started, and when it came up
	restarts   uint32
	state      State
	then       next
	up         bool // the start of this incarnation is complete
	told       bool // there was an event that says so
	early      bool // this incarnation of a Process has ended before its Start returned, for rare.early
	fresh      bool // no incarnation was up so far
	static     bool // one of Options.Children
	nested     bool // the latest incarnation is a supervisor
	revived    bool // it was down, and this start was asked for
	recovering bool // it has failed and is not up again
}

// rare is what only a child has that has failed, that is a supervisor, or that New has made.
type rare struct {
	meter    meter
	reason   error // the last failure
	failedAt time.Duration
	early    error
	sub      *Supervisor
	load     loaded
}

func (c *child) extra() *rare {
	if c.rare == nil {
		c.rare = new(rare)
	}
	return c.rare
}

func (c *child) shutdown() time.Duration {
	switch {
	case c.spec.Shutdown != 0:
		return c.spec.Shutdown
	case c.nested:
		return Infinity
	}
	return defaultShutdown
}

func (c *child) startTimeout() time.Duration {
	switch {
	case c.spec.StartTimeout != 0:
		return c.spec.StartTimeout
	case c.nested:
		return Infinity
	}
	return defaultStartTimeout
}

// A waiter is a caller that gets one answer.
type waiter struct {
	reply chan error // has room for the answer
	stop  bool       // waits for the end of the child, not for its start
	next  *waiter
}

type eventKind uint8

const (
	evAdd       eventKind = iota // c is a new child; w waits for its start
	evBoot                       // start the static children; the first event of all
	evNested                     // incarnation gen of c is the supervisor sub
	evLoaded                     // incarnation gen of c tells its load
	evStarted                    // the start of gen is complete, or has failed with err
	evExited                     // gen has ended: nil is a normal end
	evTimer                      // the timer of gen has fired
	evTerminate                  // w asks for the end of child id
	evRestart                    // w asks for a restart of child id
	evDelete                     // w asks for child id, which is down, to be forgotten
	evForget                     // the caller that waited for the first start of c has left
	evShutdown                   // stop everything because of err
	evWatch                      // starts may be overdue; not for the core
)

type event struct {
	kind  eventKind
	timer timerKind
	at    time.Duration
	c     *child
	gen   uint64
	id    string
	err   error
	w     *waiter
	sub   *Supervisor
	load  loaded
}

type timerKind uint8

const (
	timerStart   timerKind = iota // the start takes too long
	timerStop                     // the stop takes too long
	timerRestart                  // the back-off is over
)

type actionKind uint8

const (
	actStart     actionKind = iota // start incarnation gen
	actStop                        // ask gen to stop because of err
	actAbandon                     // fence gen off because of err
	actArm                         // set the child's timer
	actDisarm                      // clear it
	actNote                        // tell those who watch
	actReply                       // answer w with err
	actGiveUp                      // tell OnGiveUp
	actReady                       // all static children are up
	actDone                        // no child is left, Serve returns err
	actLateStart                   // a start of an incarnation given up on has returned err
	actLateExit                    // an incarnation given up on has ended
)

type action struct {
	kind  actionKind
	note  Kind
	timer timerKind
	c     *child
	gen   uint64
	err   error
	delay time.Duration
	w     *waiter
	early *error // of actAbandon: the end that was told while the Start was running, if one was
}

type core struct {
	strategy Strategy
	auto     AutoShutdown
	limit    int
	budget   Budget
	perChild bool
	backoff  Backoff
	random   func() float64

	kids        map[string]*child
	gens        map[string]uint64 // of the latest incarnations of static children that are gone
	first, last *child
	state       State
	stage       stage
	group       *child // while clearing: the first child of the group
	why         error  // while clearing: what the group is told
	cursor      *child // while starting: no child of the group before it is idle
	turn        *child // while starting: the child that is being started
	swept       bool   // while stopping together: all have been asked
	meter       meter
	restarts    uint64
	fail        error // what Serve will return
	cause       error // what the children are told
	at          time.Duration
	out         []action
}

func newCore(o *Options, gens map[string]uint64) *core {
	k := &core{
		strategy: o.Strategy, auto: o.AutoShutdown, limit: o.MaxChildren,
		budget: o.Budget, perChild: o.BudgetPerChild, backoff: o.Backoff, random: o.Rand,
		kids: make(map[string]*child, len(o.Children)), gens: gens, state: Starting,
	}
	for _, spec := range o.Children {
		k.link(&child{spec: spec, static: true, gen: gens[spec.ID]})
	}
	return k
}

// step takes an event and returns what is to be done. The slice is valid until the next step.
func (k *core) step(ev event) []action {
	clear(k.out)
	k.out = k.out[:0]
	k.at = ev.at
	switch ev.kind {
	case evAdd:
		k.add(ev.c, ev.w)
	case evBoot:
		k.stage, k.cursor = starting, k.first
	case evNested:
		k.nest(ev.c, ev.gen, ev.sub)
	case evLoaded:
		if ev.c.gen == ev.gen && ev.c.state != gone {
			ev.c.extra().load = ev.load
		}
	case evStarted:
		k.started(ev.c, ev.gen, ev.err)
	case evExited:
		k.exited(ev.c, ev.gen, ev.err)
	case evTimer:
		k.fired(ev.c, ev.gen, ev.timer)
	case evTerminate:
		k.terminate(k.kids[ev.id], ev.w)
	case evRestart:
		k.restart(k.kids[ev.id], ev.w)
	case evDelete:
		k.forget(k.kids[ev.id], ev.id, ev.w)
	case evForget:
		if k.kids[ev.c.spec.ID] == ev.c {
			k.quit(ev.c, thenDrop, ErrTerminated)
		}
	case evShutdown:
		k.shutdown(nil, ev.err)
	}
	k.advance()
	return k.out
}

func (k *core) do(kind actionKind, c *child, err error) {
	k.out = append(k.out, action{kind: kind, c: c, gen: c.gen, err: err})
}

func (k *core) note(note Kind, c *child, err error, delay time.Duration) {
	k.out = append(k.out, action{kind: actNote, note: note, c: c, gen: c.gen, err: err, delay: delay})
}

func (k *core) arm(c *child, timer timerKind, delay time.Duration) {
	if delay != Infinity {
		k.out = append(k.out, action{kind: actArm, c: c, gen: c.gen, timer: timer, delay: delay})
	}
}

func (k *core) reply(w *waiter, err error) {
	if w != nil {
		k.out = append(k.out, action{kind: actReply, w: w, err: err})
	}
}

// advance does the next thing that has to wait for others: a stop or a start in a group, or in the end of all.
func (k *core) advance() {
	if k.state == Stopping {
		k.sweep()
		if k.last == nil {
			k.state = gone
			k.out = append(k.out, action{kind: actDone, err: k.fail})
		}
		return
	}
	if k.stage == clearing {
		k.clearGroup()
	}
	if k.stage == starting {
		k.startNext()
	}
}

// sweep asks the last child to stop, or all of them.
func (k *core) sweep() {
	if k.swept {
		return
	}
	for c := k.last; c != nil; {
		before := c.prev
		k.quit(c, thenDrop, k.cause)
		if c.state != gone && k.strategy != Dynamic {
			return
		}
		c = before
	}
	k.swept = true
}

// shutdown begins the end of the supervisor. Serve will return fail; cause is what children are told.
func (k *core) shutdown(fail, cause error) {
	if k.state == Starting || k.state == Running {
		k.state, k.fail, k.cause = Stopping, fail, cause
		k.stage, k.group, k.turn, k.cursor = steady, nil, nil, nil
	}
}

func (k *core) add(c *child, w *waiter) {
	switch {
	case k.state != Starting && k.state != Running:
		k.reply(w, ErrNotRunning)
		return
	case k.kids[c.spec.ID] != nil:
		k.reply(w, &Error{Code: CodeDuplicate, Child: c.spec.ID})
		return
	case k.limit > 0 && len(k.kids) >= k.limit:
		k.reply(w, &Error{Code: CodeTooMany, Child: c.spec.ID})
		return
	}
	k.link(c)
	c.wait = w
	switch {
	case !k.grouped():
		k.start(c)
	case k.stage == steady:
		k.stage, k.cursor = starting, c
	}
}

// link appends a new child to its siblings.
func (k *core) link(c *child) {
	k.kids[c.spec.ID] = c
	c.fresh = true
	if c.prev = k.last; c.prev != nil {
		c.prev.next = c
	} else {
		k.first = c
	}
	k.last = c
}

// drop removes the child. Who waits for its start is told why.
func (k *core) drop(c *child, why error) {
	k.leave(c)
	if k.cursor == c {
		k.cursor = c.next
	}
	if k.group == c {
		k.group = c.next
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		k.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		k.last = c.prev
	}
	delete(k.kids, c.spec.ID)
	if c.static {
		if k.gens == nil {
			k.gens = make(map[string]uint64)
		}
		k.gens[c.spec.ID] = c.gen
	}
	k.answerStop(c, nil)
	k.answerStart(c, why)
	c.state, c.prev, c.next, c.rare = gone, nil, nil, nil
}

// down keeps the child without an incarnation. Who waits for its start is told why.
func (k *core) down(c *child, why error) {
	k.leave(c)
	c.state = Down
	k.answerStop(c, nil)
	k.answerStart(c, why)
}

// leave says that nobody waits any more for the child to come up.
func (k *core) leave(c *child) {
	if c.recovering {
		c.recovering = false
		c.rare.meter.leave()
		k.meter.leave()
	}
	if k.turn == c {
		k.turn = nil
	}
}

// retire is for a child that has ended for good: down, or drop, as is fit.
func (k *core) retire(c *child, why error) {
	if k.keeps(c) {
		k.down(c, why)
		return
	}
	k.drop(c, why)
}

// keeps reports whether the spec is kept when the child has ended.
func (k *core) keeps(c *child) bool {
	return k.strategy != Dynamic && c.spec.Restart != Temporary && (c.static || !c.fresh)
}

func (k *core) answerStart(c *child, err error) { k.answer(c, false, err) }

func (k *core) answerStop(c *child, err error) { k.answer(c, true, err) }

// answer answers those who wait for the start, or for the stop.
func (k *core) answer(c *child, stop bool, err error) {
	for at := &c.wait; *at != nil; {
		w := *at
		if w.stop != stop {
			at = &w.next
			continue
		}
		k.reply(w, err)
		*at = w.next
	}
}

func (c *child) enqueue(w *waiter) {
	if w != nil {
		w.next, c.wait = c.wait, w
	}
}

// terminated is the reason that a child's callers get when it is removed on request.
func terminated(c *child) error { return &Error{Code: CodeTerminated, Child: c.spec.ID} }

// asked reports whether err is what a child that was asked to stop ends with.
func asked(err error) bool {
	var p *PanicError
	return err == nil || errors.Is(err, context.Canceled) && !errors.As(err, &p)
}
