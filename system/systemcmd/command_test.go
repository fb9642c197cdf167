package systemcmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/system"
	"github.com/pando-agents/pando/system/systemcmd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type message interface{ isMessage() }

type question struct {
	actors.Reply[system.Answer]
	Text string `json:"text"`
}

func (question) isMessage() {}

// echo answers with the question.
type echo struct{ h *system.Host }

func (e echo) Receive(_ *actors.Context[message], m message) {
	q := m.(question)
	e.h.Say("hears \x1b[31m%s", q.Text)
	q.Send(system.Answer{Text: "You said: " + q.Text + "\n"})
}

func catalogue() *system.Catalogue {
	c := new(system.Catalogue)
	system.Register(c, "test.echo", "answers", func(ctx context.Context, h *system.Host, _ struct{}) error {
		_, err := system.Spawn(ctx, h, actors.Spec[message]{New: func() actors.Actor[message] { return echo{h} }},
			remote.NewProtocol[message](remote.Message[question](system.AskType)))
		return err
	})
	return c
}

const good = "system: s\nask: a/x\nagents: {a: {actors: {x: {new: test.echo}}}}\n"

// run runs a command line; FILE stands for a file with this text.
func run(t *testing.T, text string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, complaints bytes.Buffer
	c := systemcmd.New(catalogue())
	for i, a := range args {
		if a == "FILE" {
			args[i] = path
		}
	}
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&complaints)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(ctx)
	return strings.ReplaceAll(out.String(), path, "FILE"), strings.ReplaceAll(complaints.String(), path, "FILE"), err
}

func TestCheckPrintsProblemsAndFails(t *testing.T) {
	t.Parallel()
	bad := "system: s\nagents: {a: {actors: {x: {new: test.ecco}}}}\nmore: 1\nask: b\n"
	out, _, err := run(t, bad, "check", "FILE")
	if err == nil || !strings.HasSuffix(err.Error(), "has 1 problem") || !strings.HasPrefix(out, `FILE:3:1: unknown key "more"`) {
		t.Errorf("%q %v", out, err)
	}
	out, _, err = run(t, strings.Replace(bad, "more: 1\n", "", 1), "check", "FILE", "--json")
	var problems []system.Problem
	if e := json.Unmarshal([]byte(out), &problems); e != nil || err == nil || len(problems) != 2 || problems[0].Line != 2 || problems[0].Column != 32 || problems[1].Line != 3 {
		t.Errorf("%s %v", out, err)
	}
	out, _, err = run(t, good, "check", "FILE")
	if err != nil || out != "FILE: system s, 1 agent: no problems\n" {
		t.Errorf("%q %v", out, err)
	}
	out, _, err = run(t, good, "check", "FILE", "--json")
	if err != nil || out != "[]\n" {
		t.Errorf("%q %v", out, err)
	}
	if _, _, err = run(t, good, "check", "nowhere.yaml"); err == nil {
		t.Error("a file that is not there has no problems")
	}
}

func TestCommandsRefuseAFileWithProblems(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"up", "FILE"}, {"init", "FILE", "--dir", "d"}, {"registry", "FILE", "--dir", "d"},
		{"run", "FILE", "--agent", "a", "--dir", "d"}, {"ask", "FILE", "x", "--dir", "d"},
	} {
		_, complaints, err := run(t, "system: s\n", args...)
		if err == nil || !strings.Contains(complaints, "FILE:1:1: the system has no agents") {
			t.Errorf("%s: %q %v", args, complaints, err)
		}
	}
}

func TestUpAnswersOnStdoutAndTellsOnStderr(t *testing.T) {
	t.Parallel()
	out, told, err := run(t, good, "up", "FILE", "--ask", "hello")
	if err != nil || out != "You said: hello\n" {
		t.Errorf("%q %v", out, err)
	}
	for _, want := range []string{"identity registry at https://127.0.0.1:", "a              runs", "is asked: hello", "hears  [31mhello", "has stopped"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in\n%s", want, told)
		}
	}
	if strings.Contains(told, "\x1b") {
		t.Error("what an agent says reaches the terminal")
	}
	out, told, err = run(t, good, "up", "FILE", "--ask", "hello", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var e system.Event
	if e1 := json.Unmarshal([]byte(lines[len(lines)-1]), &e); e1 != nil || err != nil || told != "" || e.Kind != system.EventAnswer || e.Text != "You said: hello\n" {
		t.Errorf("%s %s %v", out, told, err)
	}
}

func TestUnknownCommandIsRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"chek", "FILE"}, {"run", "FILE"}, {"up"}} {
		if _, _, err := run(t, good, args...); err == nil {
			t.Errorf("%s was understood", args)
		}
	}
}
