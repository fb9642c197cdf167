package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/bench/load"
)

// TestMain lets this test program stand for the real one: servers and loads
// are processes of the same executable.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func floorKind(t *testing.T) kind {
	t.Helper()
	chosen, err := selectKinds([]string{"floor"})
	if err != nil {
		t.Fatal(err)
	}
	return chosen[0]
}

func startFloor(t *testing.T) *server {
	t.Helper()
	s, err := startServer(t.Context(), floorKind(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func TestLoadProcessMeasuresTheServerProcess(t *testing.T) {
	t.Parallel()
	s := startFloor(t)
	var steady, opened load.Report
	if err := s.runLoad(t.Context(), &steady, "load", "--channels", "4", "--requests", "3000"); err != nil {
		t.Fatal(err)
	}
	if steady.Requests != 3000 || steady.ServerCPU <= 0 {
		t.Errorf("report %+v, want 3000 requests and their processor time", steady)
	}
	if err := s.runLoad(t.Context(), &opened, "open", "--requests", "20"); err != nil {
		t.Fatal(err)
	}
	if opened.Requests != 20 {
		t.Errorf("report %+v, want 20 channels opened", opened)
	}
	var idle load.IdleReport
	if err := s.runLoad(t.Context(), &idle, "idle", "--channels", "100", "--heartbeat", "10ms"); err != nil {
		t.Fatal(err)
	}
	if idle.Answered != 100 || idle.After.RSS <= 0 {
		t.Errorf("report %+v, want 100 heartbeats and the server's memory", idle)
	}
}

func TestFailedLoadIsAnError(t *testing.T) {
	t.Parallel()
	s := startFloor(t)
	s.ready.URL = "ws://127.0.0.1:1/ws"
	if err := s.runLoad(t.Context(), new(load.Report), "load", "--requests", "1"); err == nil {
		t.Error("a load that could not reach its server has no error")
	}
}

func TestTokenIsHandedOverInAFileForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	s := startFloor(t)
	if err := s.keepToken("secret"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.tokens)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if tokens, err := load.ReadTokens(s.tokens); err != nil || !slices.Equal(tokens, []string{"secret"}) {
		t.Errorf("read %q, %v", tokens, err)
	}
	s.stop()
	if _, err := os.Stat(s.tokens); !os.IsNotExist(err) {
		t.Errorf("after the end: %v, want no file", err)
	}
}

func TestServersTakeTurns(t *testing.T) {
	t.Parallel()
	a, b := &server{kind: kind{name: "a"}}, &server{kind: kind{name: "b"}}
	var order []string
	c := benchCase{measure: func(_ context.Context, s *server, _ plan) (figure, error) {
		order = append(order, s.kind.name)
		return figure{Value: float64(len(order))}, nil
	}}
	r := &runner{plan: plan{rounds: 3}, log: io.Discard}
	figures, err := r.runCase(t.Context(), c, []*server{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "a", "b", "a", "b"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if got := values(figures[1]); !slices.Equal(got, []float64{2, 4, 6}) {
		t.Errorf("figures of b are %v", got)
	}
}

func figures(v ...float64) []figure {
	f := make([]figure, len(v))
	for i := range v {
		f[i] = figure{Value: v[i], Report: load.Report{PerSecond: 1000 * v[i]}}
	}
	return f
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	t.Parallel()
	c := benchCase{name: "case", mustRatio: 0.5}
	got := summarise(c, []*server{{kind: kind{name: "floor"}}, {kind: kind{name: "pando"}}}, [][]figure{figures(10, 30, 20), figures(4, 15, 9)})
	if got[0].Median != 20 || got[1].Median != 9 {
		t.Errorf("medians %v and %v, want 20 and 9", got[0].Median, got[1].Median)
	}
	if got[1].Ratio != 0.45 || got[1].Must != 0.5 || got[0].Must != 0 {
		t.Errorf("results %+v, want the ratio 0.45 and a budget for pando only", got)
	}
}

func TestOnlyTheRatioToTheFloorHasABudget(t *testing.T) {
	t.Parallel()
	c := benchCase{name: "case", mustRatio: 0.5}
	for _, names := range [][]string{{"pando"}, {"python", "pando"}} {
		var servers []*server
		var rounds [][]figure
		for _, name := range names {
			servers = append(servers, &server{kind: kind{name: name}})
			rounds = append(rounds, figures(1))
		}
		for _, r := range summarise(c, servers, rounds) {
			if r.Must != 0 {
				t.Errorf("%v: %s has the budget %v, want none", names, r.Server, r.Must)
			}
		}
	}
}

func TestRunFailsAboveOneAndAHalfTimesTheBudget(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		result  result
		verdict string
	}{
		"ratio met":   {result{Ratio: 0.5, Median: 99, Must: 0.5}, "met"},
		"ratio near":  {result{Ratio: 0.75, Median: 99, Must: 0.5}, "near"},
		"ratio over":  {result{Ratio: 0.76, Median: 1, Must: 0.5}, "OVER"},
		"figure met":  {result{Ratio: 99, Median: 11, Must: 11, MustUnit: perChannel}, "met"},
		"figure over": {result{Ratio: 0.1, Median: 17, Must: 11, MustUnit: perChannel}, "OVER"},
	} {
		v.result.Rounds = figures(v.result.Median)
		out := outcome{Results: []result{v.result}}
		if err := out.check(); errors.Is(err, errOverBudget) != (v.verdict == "OVER") {
			t.Errorf("%s: check says %v", name, err)
		}
		var table bytes.Buffer
		if err := out.table(&table); err != nil || !strings.Contains(table.String(), v.verdict+"  ") {
			t.Errorf("%s: %v, table without %s:\n%s", name, err, v.verdict, &table)
		}
	}
}

func TestMedianOfAnEvenNumberIsTheMeanOfTheMiddle(t *testing.T) {
	t.Parallel()
	if got := median([]float64{9, 1, 2, 4}); got != 3 {
		t.Errorf("median %v, want 3", got)
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		nil, {"walk"}, {"run", "--servers", "apache"}, {"run", "--cases", "no such case"}, {"load", "--url", "ws://127.0.0.1:1/", "rest"},
	} {
		if err := dispatch(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
