package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/internal/pypeer"
)

// TestMain runs the tests, or is one of the processes of the market.
func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func run1(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := market(t.Context(), args, strings.NewReader(""), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

const ofSeed1 = `
buyer   what     seller  price
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
	for name, args := range map[string][]string{"one": {}, "many": {"-processes"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out := run1(t, args...); !strings.HasSuffix(out, ofSeed1) {
				t.Errorf("not the deals of seed 1:\n%s", out)
			}
		})
	}
	t.Run("another seed", func(t *testing.T) {
		t.Parallel()
		if out := run1(t, "-seed", "2"); strings.HasSuffix(out, ofSeed1) || !strings.Contains(out, "none of them twice") {
			t.Errorf("seed 2:\n%s", out)
		}
	})
}

func TestEachAgentIsKilledAndEverybodyGetsWhatItWants(t *testing.T) {
	t.Parallel()
	out := run1(t, "-processes", "-kill", "all", "-python", pypeer.Python(t))
	s := newScenario(1)
	for _, name := range s.everybody() {
		if !strings.Contains(out, killedLine(name)) {
			t.Errorf("%s was not killed", name)
		}
	}
	for _, want := range []string{"hears that anna is lost", "finds 1 sales in its journal", "15 things have changed hands"} {
		if !strings.Contains(out, want) {
			t.Errorf("it was not shown: %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestNobodyElseCanBeKilled(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-processes", "-kill", "nobody"}, {"-kill", "anna"}} {
		if err := market(context.Background(), args, strings.NewReader(""), new(bytes.Buffer)); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
