package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/bench/actors/measure"
)

// TestMain lets this test program stand for the real one: each measurement is
// a process of the same executable.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "measure" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestEachLibraryMeasuresWhatItHasAWayToDo(t *testing.T) {
	t.Parallel()
	p := programs{t.TempDir()}
	for _, c := range cases() {
		for _, l := range libraries() {
			if !l.has(c.name) {
				continue
			}
			s, err := p.measure(t.Context(), c, l, 1000)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, l.Name, err)
			} else if s.Value <= 0 {
				t.Errorf("%s, %s: %+v, want a figure", c.name, l.Name, s)
			}
		}
	}
}

func TestMeasurementThatIsUnknownFails(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"measure", "--library", "suture", "--case", measure.PingPong, "--n", "10"},
		{"measure", "--library", "none", "--case", measure.PingPong, "--n", "10"},
		{"measure", "--library", "pando", "--case", measure.PingPong},
		{"--cases", "no such case"},
		{"--libraries", "none"},
		{"--rounds", "0"},
		{"unexpected"},
	} {
		if err := dispatch(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

// scripted returns the next value of a library with each measurement.
func scripted(values map[string][]float64) single {
	return func(_ context.Context, _ benchCase, l library, _ int) (measure.Sample, error) {
		v := values[l.Name]
		values[l.Name] = v[1:]
		return measure.Sample{Value: v[0], CPU: 7, Allocs: 1}, nil
	}
}

func scriptedOutcome(t *testing.T, only string, values map[string][]float64) outcome {
	t.Helper()
	names := make([]string, 0, len(values))
	for _, l := range libraries() {
		if values[l.Name] != nil {
			names = append(names, l.Name)
		}
	}
	r, err := newRun(only, strings.Join(names, ","))
	if err != nil {
		t.Fatal(err)
	}
	r.rounds, r.scale, r.log = 3, 1, io.Discard
	out, err := r.all(t.Context(), scripted(values))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	t.Parallel()
	// The medians are 20 and 40, but no round has that ratio.
	out := scriptedOutcome(t, "^tell from a goroutine$", map[string][]float64{
		"protoactor": {10, 20, 100}, "pando": {40, 10, 300},
	})
	if len(out.Results) != 2 {
		t.Fatalf("results %+v, want one for each library", out.Results)
	}
	r := out.Results[1]
	if r.Library != "pando" || r.Median != 40 || r.Best != 10 || r.Ratio != 3 {
		t.Errorf("result %+v, want a median of 40, 10 at best, a ratio of 3", r)
	}
	if len(r.Targets) != 1 || r.Targets[0].Met || r.Targets[0].Reached != 3 {
		t.Errorf("targets %+v, want one that is missed with 3", r.Targets)
	}
}

func TestTargetIsMetByTheMedianOrInTheBestRound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pando     []float64
		met, best bool
	}{
		{[]float64{300, 400, 900}, true, true},
		{[]float64{300, 401, 402}, false, true},
		{[]float64{401, 402, 403}, false, false},
	} {
		// The ratio to hollywood is judged only where that is measured.
		out := scriptedOutcome(t, "^ping-pong$", map[string][]float64{"pando": test.pando})
		targets := out.Results[0].Targets
		if len(targets) != 1 || targets[0].Met != test.met || targets[0].Best != test.best {
			t.Errorf("%v: targets %+v, want met %t, in the best round %t", test.pando, targets, test.met, test.best)
		}
	}
}

func TestCheckFailsWhenTheBestRoundOrTheRatioIsFarOverItsTarget(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		only   string
		values map[string][]float64
		ok     bool
	}{
		{"^ping-pong$", map[string][]float64{"pando": {599, 900, 900}}, true},
		{"^ping-pong$", map[string][]float64{"pando": {601, 900, 900}}, false},
		{"^tell from an actor$", map[string][]float64{"protoactor": {100, 100, 100}, "pando": {100, 149, 900}}, true},
		{"^tell from an actor$", map[string][]float64{"protoactor": {100, 100, 100}, "pando": {100, 151, 900}}, false},
	} {
		if err := scriptedOutcome(t, test.only, test.values).check(); (err == nil) != test.ok {
			t.Errorf("%v: %v", test.values, err)
		}
	}
}

func TestTableSaysWhichTargetsAreMissed(t *testing.T) {
	t.Parallel()
	out := scriptedOutcome(t, "^ping-pong$", map[string][]float64{
		"hollywood": {1000, 1000, 1000}, "pando": {450, 460, 470},
	})
	var b bytes.Buffer
	if err := out.table(&b); err != nil {
		t.Fatal(err)
	}
	if want := "≤ 400 ns: missed, ≤ 0.5 × hollywood: met (0.46)"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}

func TestLibraryThatNeedsTooMuchDoesLess(t *testing.T) {
	t.Parallel()
	out := scriptedOutcome(t, "^idle$", map[string][]float64{"hollywood": {1, 1, 1}, "pando": {1, 1, 1}})
	if out.Results[0].N != 20_000 || out.Results[1].N != 200_000 {
		t.Errorf("%d and %d actors, want 20000 of hollywood and 200000 of Pando", out.Results[0].N, out.Results[1].N)
	}
}

func TestJSONHasEachRound(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	args := []string{"--json", "--rounds", "2", "--scale", "0.0001", "--cases", "^ping-pong$", "--libraries", "goroutine,pando"}
	if err := dispatch(t.Context(), args, &b, io.Discard); err != nil {
		t.Fatal(err)
	}
	var out outcome
	if err := json.Unmarshal(b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Results) != 2 || len(out.Results[0].Rounds) != 2 || out.Results[1].Rounds[1].Value <= 0 {
		t.Errorf("%+v, want two rounds of two libraries", out.Results)
	}
}
