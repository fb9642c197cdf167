package system_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/system"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

const pair = `
system: pair
ask: a/one
registry: {listen: "127.0.0.1:PORT"}
agents:
  a:
    talks_to: [b]
    endpoint: ws://127.0.0.1:PORT/ws
    actors:
      one:
        new: test.speaker
        with: {says: one, asks: b/two}
  b:
    endpoint: ws://127.0.0.1:PORT/deep/path
    actors:
      two: {new: test.speaker, expose: [a], with: {says: two}}
`

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestTheSameFileRunsInOneProcessAndAgentByAgent(t *testing.T) {
	t.Parallel()
	f := load(t, pair)
	ctx := within(t)
	w := newWatch(t)
	answer, err := system.Up(ctx, f, system.UpOptions{Options: w.options(), Ask: "hello"})
	if err != nil || answer != "one two hello" {
		t.Errorf("in one process: %q, %v", answer, err)
	}

	dir := filepath.Join(t.TempDir(), "team")
	if err := system.Prepare(ctx, f, dir, w.options()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "operator", "provider"} {
		if info, err := os.Stat(filepath.Join(dir, name+".env")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("credentials of %s: %v %v", name, info, err)
		}
	}
	before := read(t, dir)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 3)
	go func() { ended <- system.ServeRegistry(running, f, dir, w.options()) }()
	w.wait(0, kind("", system.EventRegistry))
	for _, name := range []string{"a", "b"} {
		go func() { ended <- system.Run(running, f, dir, name, w.options()) }()
	}
	answer, err = system.Ask(ctx, f, dir, "hello", w.options())
	if err != nil || answer != "one two hello" {
		t.Errorf("agent by agent: %q, %v", answer, err)
	}
	// While the registry runs, it is asked.
	if err := system.Prepare(ctx, f, dir, w.options()); err != nil || read(t, dir) != before {
		t.Errorf("what is registered is not kept: %v\n%s\n%s", err, before, read(t, dir))
	}
	permissionsAreThoseOfTheFile(t, ctx, f, dir)
	stop()
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// permissionsAreThoseOfTheFile changes them by hand and prepares the system again.
func permissionsAreThoseOfTheFile(t *testing.T, ctx context.Context, f *system.File, dir string) {
	t.Helper()
	provider, err := identity.FromFile(filepath.Join(dir, "provider.env"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := identity.FromFile(filepath.Join(dir, "b.env"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := identity.NewClient(identity.ClientOptions{Credentials: provider, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	before, err := client.Permissions(ctx, b.AgentID)
	if err != nil || len(before) != 1 || before[0].Type != identity.AllowAgent {
		t.Fatal(before, err)
	}
	if _, err := client.SetPermissions(ctx, b.AgentID, []identity.Permission{{Type: identity.AllowProvider, TargetID: provider.ProviderID}}); err != nil {
		t.Fatal(err)
	}
	if err := system.Prepare(ctx, f, dir, newWatch(t).options()); err != nil {
		t.Fatal(err)
	}
	if after, err := client.Permissions(ctx, b.AgentID); err != nil || len(after) != 1 || after[0] != before[0] {
		t.Errorf("permissions of b: %v, wanted %v; %v", after, before, err)
	}
}

func read(t *testing.T, dir string) string {
	t.Helper()
	all := ""
	for _, name := range []string{"system.json", "a.env", "b.env", "operator.env", "provider.env"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(data)
	}
	return all
}

func TestUpKeepsIdentitiesInADirectory(t *testing.T) {
	t.Parallel()
	f := load(t, pair)
	dir := t.TempDir()
	kept := ""
	for range 2 {
		w := newWatch(t)
		answer, err := system.Up(within(t), f, system.UpOptions{Options: w.options(), Ask: "x", Dir: dir})
		if err != nil || answer != "one two x" {
			t.Fatal(answer, err)
		}
		if now := read(t, dir); kept != "" && now != kept {
			t.Error("the second run has made other identities")
		} else {
			kept = now
		}
	}
}

func TestUpLeavesNothingBehindWithoutADirectory(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	f := load(t, pair)
	if _, err := system.Up(within(t), f, system.UpOptions{Options: newWatch(t).options(), Ask: "x"}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	for _, e := range left {
		if strings.HasPrefix(e.Name(), "pando-system-") {
			t.Error(e.Name(), err)
		}
	}
}

func TestWhoeverCannotBeRunIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	one := "system: one\nask: a/x\nagents:\n  a:\n    actors:\n      x: {new: test.speaker, with: {%s}}\n"
	f := load(t, strings.Replace(one, "%s", "fail: today", 1))
	o := newWatch(t).options()
	for what, c := range map[string]struct {
		run  func() error
		says string
	}{
		"constructor": {func() error { _, err := system.Up(within(t), f, system.UpOptions{Options: o}); return err }, "actor a/x: no: today"},
		"lazy": {func() error {
			_, err := system.Up(within(t), load(t, strings.Replace(one, "%s", "lazy: true", 1)), system.UpOptions{Options: o})
			return err
		}, "has spawned none"},
		"kill":       {func() error { _, err := system.Up(within(t), f, system.UpOptions{Kill: []string{"q"}}); return err }, "no such agent"},
		"agent":      {func() error { return system.Run(within(t), f, t.TempDir(), "q", o) }, "no such agent"},
		"unprepared": {func() error { return system.Run(within(t), f, t.TempDir(), "a", o) }, "prepare it first"},
		"ask": {func() error {
			_, err := system.Up(within(t), load(t, strings.Replace(pair, "ask: a/one", "", 1)), system.UpOptions{Options: o, Ask: "x"})
			return err
		}, "does not say whom to ask"},
	} {
		if err := c.run(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAKilledAgentOfThisProcessIsStartedAgain(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	answer, err := system.Up(within(t), load(t, pair), system.UpOptions{
		Options: w.options(), Ask: "x", Kill: []string{"a"}})
	if err != nil || answer != "one two x" {
		t.Fatal(answer, err)
	}
	_, i := w.wait(0, kind("a", system.EventKilled))
	_, i = w.wait(i, kind("a", system.EventDown))
	w.wait(i, kind("a", system.EventUp))
	if _, asked := w.wait(0, kind("a", system.EventAsked)); asked < 0 {
		t.Error("nobody was asked")
	}
}

func TestAnExternalAgentIsRunByItsCommand(t *testing.T) {
	t.Parallel()
	f := load(t, `
system: outside
agents:
  a:
    talks_to: [p]
    actors: {x: {new: test.speaker}}
  p:
    external: true
    command: [sh, -c, "echo id=$AUTHED_AGENT_ID at=$PANDO_LISTEN; echo '{\"event\":\"says\",\"text\":\"hi\"}'; echo oops >&2; echo $PANDO_PEERS | grep -c agent_id; exit 3"]
`)
	w := newWatch(t)
	ctx, stop := context.WithCancel(within(t))
	ended := make(chan error, 1)
	go func() {
		_, err := system.Up(ctx, f, system.UpOptions{Options: w.options()})
		ended <- err
	}()
	output := func(has string) func(system.Event) bool {
		return func(e system.Event) bool {
			return e.Agent == "p" && e.Kind == system.EventOutput && strings.Contains(e.Text, has)
		}
	}
	e, i := w.wait(0, output("id="))
	if !strings.Contains(e.Text, " at=127.0.0.1:") || len(e.Text) < 40+len("id= at=127.0.0.1:") {
		t.Errorf("it was told %q", e.Text)
	}
	if e, _ := w.wait(i, kind("p", system.EventSays)); e.Text != "hi" {
		t.Errorf("it said %+v", e)
	}
	w.wait(0, output("oops"))
	w.wait(0, output("1"))
	_, i = w.wait(i, func(e system.Event) bool {
		return kind("p", system.EventDown)(e) && strings.Contains(e.Text, "exit status 3")
	})
	if e, _ := w.wait(i, kind("p", system.EventUp)); e.PID == 0 {
		t.Errorf("started again: %+v", e)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRegistryOfOthersIsNotServed(t *testing.T) {
	t.Parallel()
	f := load(t, "system: s\nregistry: {url: \"https://registry.example\"}\nagents: {a: {actors: {x: {new: test.speaker}}}}\n")
	if err := system.ServeRegistry(within(t), f, t.TempDir(), newWatch(t).options()); err == nil {
		t.Error("it was served")
	}
}
