package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

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
	goleak.VerifyTestMain(m)
}

// run runs the program, and returns what was told and the answer.
func run(t *testing.T, args ...string) (all []system.Event, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, complaints bytes.Buffer
	c := exec.CommandContext(ctx, os.Args[0], append(args, "--ask", "market", "--json")...)
	c.Env = append(os.Environ(), asProgram+"=1", "PYTHONDONTWRITEBYTECODE=1", "TMPDIR="+t.TempDir())
	c.Stdout, c.Stderr = &out, &complaints
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), complaints.String())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out.String(), complaints.String())
		}
	})
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
	return all, answer
}

const ofSeed1 = `buyer   what     seller  price
xaver   apples   pia      1.72
xaver   bread    bert     3.62
xaver   honey    anna     2.50
xaver   salt     bert     3.60
xaver   tea      pia      1.77
yvonne  apples   pia      1.61
yvonne  bread    pia      1.71
yvonne  honey    anna     2.50
yvonne  salt     bert     2.90
yvonne  tea      pia      2.05
zoe     apples   pia      1.51
zoe     bread    bert     3.26
zoe     honey    anna     2.90
zoe     salt     bert     3.09
zoe     tea      pia      1.69

15 things have changed hands, none of them twice. 90.00 is in the purses, as before.
`

func TestOneSeedGivesTheSameDealsInOneProcessAndInMany(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"one": {}, "many": {"--processes"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, got := run(t, append([]string{"up", "system.yaml"}, args...)...); got != ofSeed1 {
				t.Errorf("not the deals of seed 1:\n%s", got)
			}
		})
	}
	t.Run("another seed", func(t *testing.T) {
		t.Parallel()
		file := edited(t, "system.yaml", "seed: 1", "seed: 2")
		if _, got := run(t, "up", file); got == ofSeed1 || !strings.Contains(got, "none of them twice") {
			t.Errorf("seed 2:\n%s", got)
		}
	})
}

var traders = []string{"bank", "anna", "bert", "pia", "xaver", "yvonne", "zoe"}

func TestEachAgentIsKilledInOneProcessAndEverybodyGetsWhatItWants(t *testing.T) {
	t.Parallel()
	all, got := run(t, "up", "system.yaml", "--kill", "all")
	goesOn(t, all, got)
}

func TestEachProcessIsKilledOneOfThemPythonAndEverybodyGetsWhatItWants(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file := edited(t, "system.python.yaml", "[../../.venv/bin/python, seller.py,",
		"["+pypeer.Python(t)+", "+filepath.Join(here, "seller.py")+",")
	all, got := run(t, "up", file, "--processes", "--kill", "all")
	goesOn(t, all, got)
	pids := map[int]bool{}
	for _, e := range all {
		if e.PID != 0 {
			pids[e.PID] = true
		}
	}
	if want := 2*len(traders) + 1; len(pids) != want { // the clerk has one life
		t.Errorf("%d processes, want %d", len(pids), want)
	}
}

// goesOn fails the test unless all were killed, and every buyer got everything.
func goesOn(t *testing.T, all []system.Event, answer string) {
	t.Helper()
	killed := map[string]bool{}
	lost := false
	for _, e := range all {
		killed[e.Agent] = killed[e.Agent] || e.Kind == system.EventKilled
		lost = lost || strings.HasSuffix(e.Text, " is lost")
	}
	for _, name := range traders {
		if !killed[name] {
			t.Errorf("%s was not killed", name)
		}
	}
	if !lost {
		t.Error("nobody has heard that a seller is lost")
	}
	if !strings.Contains(answer, "\n15 things have changed hands, none of them twice. 90.00 is") {
		t.Errorf("the deals:\n%s", answer)
	}
}

// edited is a file like another, with some text replaced.
func edited(t *testing.T, file, old, text string) string {
	t.Helper()
	read, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(read, []byte(old)) {
		t.Fatalf("%s does not say %q", file, old)
	}
	path := filepath.Join(t.TempDir(), "system.yaml")
	if err := os.WriteFile(path, bytes.ReplaceAll(read, []byte(old), []byte(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPythonSellerHasThePricesOfSeed1(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("system.python.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "seller.py, '")
	said, _, _ := strings.Cut(rest, "'")
	var goods map[string][2]int
	if err := json.Unmarshal([]byte(said), &goods); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]int{}
	for item, t := range newScenario(1).stall("pia") {
		want[item] = [2]int{t.Ask, t.Floor}
	}
	if !maps.Equal(goods, want) {
		t.Errorf("the file says %v, by the seed it is %v", goods, want)
	}
}
