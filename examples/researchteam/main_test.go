package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pando-agents/pando/internal/pypeer"
	"github.com/pando-agents/pando/system"
)

// asProgram makes the test's own executable be the program.
const asProgram = "PANDO_EXAMPLE_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const question = "How do aspens spread, how old is Pando, and what threatens it?"

var workers = []string{"searcher-a", "searcher-b", "critic", "writer"}

// told are the events of a run, in their order.
type told []system.Event

// first returns the index of the first event of a kind, of an agent, from one on;
// -1 if there is none.
func (l told) first(kind, agent string, from int) int {
	for i, e := range l {
		if i >= from && e.Kind == kind && e.Agent == agent {
			return i
		}
	}
	return -1
}

// run runs the program and returns its events and the answer.
func run(t *testing.T, args ...string) (told, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, complaints bytes.Buffer
	c := exec.CommandContext(ctx, os.Args[0], append(args, "--json")...)
	c.Env = append(os.Environ(), asProgram+"=1", "PYTHONDONTWRITEBYTECODE=1")
	c.Stdout, c.Stderr = &out, &complaints
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), complaints.String())
	}
	var all told
	answer := ""
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		var e system.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all = append(all, e)
		if e.Kind == system.EventAnswer {
			answer = e.Text
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
	return all, answer
}

// right fails the test unless the answer is the one that is kept.
func right(t *testing.T, answer string) {
	t.Helper()
	want, err := os.ReadFile("testdata/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	if answer != string(want) {
		t.Errorf("the report is\n%s\nwanted\n%s", answer, want)
	}
}

// killed fails the test unless each worker was killed at work, told to be down and
// up again, and said something in its second life or lost nothing that was needed.
func killed(t *testing.T, all told) {
	t.Helper()
	asked, answered := all.first(system.EventAsked, "planner", 0), all.first(system.EventAnswer, "planner", 0)
	for _, w := range workers {
		kill := all.first(system.EventKilled, w, asked)
		down := all.first(system.EventDown, w, asked)
		if kill < asked || down < 0 || kill > answered {
			t.Errorf("%s: killed %d, down %d; asked %d, answered %d", w, kill, down, asked, answered)
		}
		if up := all.first(system.EventUp, w, min(kill, down)); up < 0 {
			t.Errorf("%s did not come back", w)
		}
	}
	redone := 0
	for _, e := range all {
		if e.Agent == "planner" && strings.HasPrefix(e.Text, "lost ") {
			redone++
		}
	}
	if redone < len(workers) {
		t.Errorf("only %d pieces of work were lost and done again", redone)
	}
}

func TestTheTeamAnswersInOneProcess(t *testing.T) {
	t.Parallel()
	all, answer := run(t, "up", "system.yaml", "--ask", question)
	right(t, answer)
	for _, e := range all {
		if e.PID != 0 || e.Kind == system.EventDown {
			t.Errorf("unexpected: %+v", e)
		}
	}
}

func TestTheTeamAnswersWhileEachWorkerIsKilledInOneProcess(t *testing.T) {
	t.Parallel()
	all, answer := run(t, "up", "system.yaml", "--ask", question, "--kill", "all")
	right(t, answer)
	killed(t, all)
}

func TestTheTeamAnswersWhileEachOfItsProcessesIsKilledOneOfThemPython(t *testing.T) {
	t.Parallel()
	all, answer := run(t, "up", withPython(t), "--processes", "--ask", question, "--kill", "all")
	right(t, answer)
	killed(t, all)
	pids := map[int]bool{}
	for _, e := range all {
		if e.PID != 0 {
			pids[e.PID] = true
		}
	}
	if len(pids) != 5+len(workers) { // each worker had two lives
		t.Errorf("%d processes, wanted %d", len(pids), 5+len(workers))
	}
}

// withPython is system.python.yaml with the interpreter that the tests use.
func withPython(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("system.python.yaml")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	command := "[../../.venv/bin/python, searcher.py]"
	if !strings.Contains(string(text), command) {
		t.Fatal("system.python.yaml starts Python in another way")
	}
	ours := "[" + pypeer.Python(t) + ", " + filepath.Join(here, "searcher.py") + ", --documents, " + filepath.Join(here, "research", "documents") + "]"
	path := filepath.Join(t.TempDir(), "system.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), command, ours, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnAgentInPythonAnswersAsItsTwinInGo(t *testing.T) {
	t.Parallel()
	all, answer := run(t, "up", withPython(t), "--ask", question)
	right(t, answer)
	i := all.first(system.EventSays, "searcher-b", 0)
	if i < 0 || all[i].Text != `looks up "how old is Pando" in Python` {
		t.Errorf("the agent in Python was not asked: %+v", all)
	}
}

func TestProcessesEndWithTheOneThatHasStartedThem(t *testing.T) {
	t.Parallel()
	c := exec.CommandContext(t.Context(), os.Args[0], "up", "system.yaml", "--processes", "--json")
	c.Env = append(os.Environ(), asProgram+"=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pids, running := []int{}, 0
	for lines := bufio.NewScanner(out); running < 5 && lines.Scan(); {
		var e system.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.PID != 0 {
			pids = append(pids, e.PID)
		} else if e.Kind == system.EventUp && e.Actor == "" {
			running++
		}
	}
	if err := c.Process.Kill(); err != nil || len(pids) != 5 {
		t.Error(pids, err)
	}
	_ = c.Wait()
	deadline := time.After(time.Minute)
	look := time.NewTicker(20 * time.Millisecond) // nobody tells of the ends of processes that are not one's children
	defer look.Stop()
	for len(pids) > 0 {
		select {
		case <-look.C:
			pids = slices.DeleteFunc(pids, gone)
		case <-deadline:
			t.Fatalf("processes %v still run", pids)
		}
	}
}

// gone reports whether a process has ended, perhaps without anybody having asked
// for its exit status.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func TestTheFilesOfTheTeamHaveNoProblems(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"system.yaml", "system.python.yaml", "system.machines.yaml"} {
		c := exec.CommandContext(t.Context(), os.Args[0], "check", file)
		c.Env = append(os.Environ(), asProgram+"=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
