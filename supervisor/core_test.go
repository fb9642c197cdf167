package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios runs testdata/scenarios: each line is an event for the core, below it are the actions that it decides on.
// Run with -rewrite to write what it does into the files, then read the difference.
//
//	new [strategy=S] [auto=any|all] [children=N] [failures=N] [within=D] [per-child] [jitter=F] [initial=D] [max=D]
//	    one static child per line:
//	    ID [process] [temporary|transient] [significant] [shutdown=D|kill|infinity] [start=D|infinity]
//	up: boot, and each child comes up; only the order of the starts is shown
//	boot, add ID ..., started ID [gen=N] [err=E], exited ID [gen=N] [err=E], nested ID, terminate ID, restart ID,
//	delete ID, forget ID, start-timer ID, stop-timer ID, restart-timer ID, shutdown [err=E], state
//
// t=D on any line moves the clock.
func TestScenarios(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &scenario{}
		datadriven.RunTest(t, path, s.run)
	})
}

type scenario struct {
	core  *core
	known map[string]*child
	now   time.Duration
}

// commands are the events that a scenario can tell of; called says that somebody waits for an answer.
var commands = map[string]struct {
	kind   eventKind
	called bool
	timer  timerKind
}{
	"boot": {kind: evBoot}, "shutdown": {kind: evShutdown}, "forget": {kind: evForget},
	"started": {kind: evStarted}, "exited": {kind: evExited}, "nested": {kind: evNested},
	"add": {kind: evAdd, called: true}, "terminate": {kind: evTerminate, called: true},
	"restart": {kind: evRestart, called: true}, "delete": {kind: evDelete, called: true},
	"start-timer": {kind: evTimer, timer: timerStart}, "stop-timer": {kind: evTimer, timer: timerStop},
	"restart-timer": {kind: evTimer, timer: timerRestart},
}

func (s *scenario) run(t *testing.T, d *datadriven.TestData) string {
	var id, fault string
	if len(d.CmdArgs) > 0 && len(d.CmdArgs[0].Vals) == 0 {
		id = d.CmdArgs[0].Key
	}
	var at string
	if d.MaybeScanArgs(t, "t", &at) {
		s.now = duration(t, at)
	}
	ev := event{at: s.now, id: id, c: s.known[id]}
	if d.MaybeScanArgs(t, "err", &fault) {
		ev.err = errors.New(fault)
		if fault == "canceled" {
			ev.err = context.Canceled
		}
	}
	if ev.c != nil {
		ev.gen = ev.c.gen
		d.MaybeScanArgs(t, "gen", &ev.gen)
	}
	switch d.Cmd {
	case "new":
		s.create(t, d)
		return ""
	case "state":
		return s.state()
	case "up":
		return s.up()
	case "add":
		ev.c = &child{spec: spec(t, argStrings(d.CmdArgs))}
	}
	command, known := commands[d.Cmd]
	if !known {
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	ev.kind, ev.timer = command.kind, command.timer
	if command.called {
		ev.w = waiterFor(d.Cmd + " " + id)
	}
	text := render(s.core.step(ev))
	if ev.kind == evAdd && s.core.kids[id] == ev.c {
		s.known[id] = ev.c
	}
	return text
}

func (s *scenario) create(t *testing.T, d *datadriven.TestData) {
	jitter := 1.0
	o := Options{BudgetPerChild: d.HasArg("per-child")}
	d.MaybeScanArgs(t, "children", &o.MaxChildren)
	o.Strategy, o.AutoShutdown = strategyOf(t, d), autoOf(t, d)
	d.MaybeScanArgs(t, "failures", &o.Budget.Failures)
	d.MaybeScanArgs(t, "jitter", &jitter)
	for name, field := range map[string]*time.Duration{
		"within": &o.Budget.Within, "initial": &o.Backoff.Initial, "max": &o.Backoff.Max,
	} {
		var text string
		if d.MaybeScanArgs(t, name, &text) {
			*field = duration(t, text)
		}
	}
	o.Rand = func() float64 { return jitter }
	for line := range strings.Lines(d.Input) {
		o.Children = append(o.Children, spec(t, strings.Fields(line)))
	}
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	s.core, s.now, s.known = newCore(&o, nil), 0, map[string]*child{}
	for id, c := range s.core.kids {
		s.known[id] = c
	}
}

func (s *scenario) up() string {
	var starts []string
	actions := s.core.step(event{kind: evBoot, at: s.now})
	for s.core.state == Starting {
		starts = append(starts, renderOne(actions[slices.IndexFunc(actions, isStart)]))
		actions = s.core.step(event{kind: evStarted, at: s.now, c: s.core.turn, gen: 1})
	}
	if len(starts) == 0 {
		return "nothing\n"
	}
	return strings.Join(starts, ", ") + "\n"
}

func isStart(act action) bool { return act.kind == actStart }

func strategyOf(t *testing.T, d *datadriven.TestData) Strategy {
	var name string
	d.MaybeScanArgs(t, "strategy", &name)
	for s := OneForOne; s <= Dynamic; s++ {
		if s.String() == name {
			return s
		}
	}
	return OneForOne
}

func autoOf(t *testing.T, d *datadriven.TestData) AutoShutdown {
	var name string
	d.MaybeScanArgs(t, "auto", &name)
	return map[string]AutoShutdown{"any": AnySignificant, "all": AllSignificant}[name]
}

func (s *scenario) state() string {
	var b strings.Builder
	fmt.Fprintf(&b, "supervisor %v\n", s.core.state)
	for c := s.core.first; c != nil; c = c.next {
		fmt.Fprintf(&b, "%s#%d %v, restarts %d\n", c.spec.ID, c.gen, c.state, c.restarts)
	}
	return b.String()
}

func argStrings(args []datadriven.CmdArg) []string {
	var texts []string
	for _, arg := range args {
		texts = append(texts, arg.String())
	}
	return texts
}

func spec(t *testing.T, words []string) Spec {
	sp := Spec{ID: words[0]}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "process":
			sp.Process = silent{}
		case "temporary":
			sp.Restart = Temporary
		case "transient":
			sp.Restart = Transient
		case "significant":
			sp.Significant = true
		case "shutdown":
			sp.Shutdown = duration(t, value)
		case "start":
			sp.StartTimeout = duration(t, value)
		case "t":
		default:
			t.Fatalf("unknown word %q", word)
		}
	}
	if sp.Process == nil {
		sp.Service = ServiceFunc(func(context.Context) error { return nil })
	}
	if err := sp.validate(AnySignificant); err != nil {
		t.Fatal(err)
	}
	return sp
}

func duration(t *testing.T, text string) time.Duration {
	switch text {
	case "kill":
		return Kill
	case "infinity":
		return Infinity
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// waiterFor returns a waiter whose reply channel already holds its name, for renderOne: the core never looks there.
func waiterFor(name string) *waiter {
	w := &waiter{reply: make(chan error, 1)}
	w.reply <- errors.New(name)
	return w
}

func render(actions []action) string {
	var b strings.Builder
	for _, act := range actions {
		b.WriteString(renderOne(act))
		if act.err != nil {
			fmt.Fprintf(&b, ": %v", act.err)
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func renderOne(act action) string {
	who := ""
	if act.c != nil {
		who = fmt.Sprintf("%s#%d", act.c.spec.ID, act.gen)
	}
	timers := map[timerKind]string{timerStart: "start", timerStop: "stop", timerRestart: "restart"}
	switch act.kind {
	case actStart:
		return "start " + who
	case actStop:
		return "stop " + who
	case actAbandon:
		return "abandon " + who
	case actArm:
		return fmt.Sprintf("timer %s %s in %v", timers[act.timer], who, act.delay)
	case actDisarm:
		return "no timer " + who
	case actNote:
		text := fmt.Sprintf("event %s %v", who, act.note)
		if act.note == Failed {
			text += fmt.Sprintf(", back-off %v", act.delay)
		}
		return text
	case actReply:
		name := <-act.w.reply
		if act.err == nil {
			return fmt.Sprintf("answer (%v): ok", name)
		}
		return fmt.Sprintf("answer (%v)", name)
	case actGiveUp:
		return "give up " + who
	case actReady:
		return "ready"
	case actDone:
		return "done"
	case actLateStart:
		return "late start " + who
	case actLateExit:
		return "late exit " + who
	}
	return "unknown action"
}

type silent struct{}

func (silent) Start(context.Context, Incarnation) error { return nil }
func (silent) Stop(uint64, error)                       {}
func (silent) Abandon(uint64)                           {}
