package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pando-agents/pando/bench/cut"
	"github.com/pando-agents/pando/bench/load"
)

func start(t *testing.T, name string) *server {
	t.Helper()
	chosen, err := selectKinds([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(t.Context(), chosen[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func TestAgentsAnswerLikeTheFloor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pando", "pando-json"} {
		s := start(t, name)
		var r load.Report
		// The load checks that the text comes back.
		if err := s.runLoad(t.Context(), &r, "load", "--channels", "2", "--requests", "500", "--write-each"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryMeasuredHandshakeIsVerified(t *testing.T) {
	t.Parallel()
	s := start(t, "pando")
	for key, file := range s.ready.Callers {
		f := targetFlags{url: s.ready.URL, dialler: dialler{file, s.ready.Target}}
		target, err := f.targeting()
		if err != nil {
			t.Fatal(err)
		}
		header, err := target.Header(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, attempt := range []struct {
			name, refusal string
			with          func(http.Header)
		}{
			{"another's proof", "401", func(h http.Header) { h.Set("Dpop", "e30.e30.e30") }},
			{"no proof", "401", func(h http.Header) { h.Del("Dpop") }},
			{"the first use", "", func(http.Header) {}},
			{"the second use", "401", func(http.Header) {}},
		} {
			h := header.Clone()
			attempt.with(h)
			target.Header = func(context.Context) (http.Header, error) { return h, nil }
			r, err := load.Open(t.Context(), target, load.OpenOptions{Concurrency: 1, Requests: 1})
			if err != nil {
				t.Fatal(err)
			}
			if refused := r.Errors == 1 && strings.Contains(r.FirstError, attempt.refusal); refused != (attempt.refusal != "") {
				t.Errorf("%s, %s: %d opened, %q", key, attempt.name, r.Requests, r.FirstError)
			}
		}
		var r load.Report
		if err := s.runLoad(t.Context(), &r, "open", "--requests", "20", "--credentials", file, "--target", s.ready.Target); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestChannelsComeBackAfterCuts(t *testing.T) {
	t.Parallel()
	s := start(t, "pando")
	var r cut.Report
	if err := s.runLoad(t.Context(), &r, "cut", "--cuts", "3", "--credentials", s.ready.Callers["Ed25519"], "--target", s.ready.Target); err != nil {
		t.Fatal(err)
	}
	if r.Cuts != 3 || r.P50 <= 0 || r.Max < r.P50 {
		t.Errorf("report %+v, want the times of 3 cuts", r)
	}
}

func TestMemoryIsReadAsItIsAndSettled(t *testing.T) {
	t.Parallel()
	s := startFloor(t)
	file := filepath.Join(t.TempDir(), "heap")
	var r load.IdleReport
	if err := s.runLoad(t.Context(), &r, "idle", "--channels", "200", "--heartbeat", "10ms", "--heap", file); err != nil {
		t.Fatal(err)
	}
	if r.Settled <= 0 || r.Kept.Goroutines < 200 || r.Kept.Heap == 0 || r.Left.Heap <= r.Kept.Heap {
		t.Errorf("report %+v, want what the runtime says with 200 channels", r)
	}
	isProfile(t, file)
}

func TestProfileIsTakenBesideTheFigures(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r, err := serverSuite().newRunner(quickPlan(), "floor", "64 × 1, 128 B", &log)
	if err != nil {
		t.Fatal(err)
	}
	r.profiles, r.plan.rounds = t.TempDir(), 1
	out, err := r.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Results) != 1 || len(out.Results[0].Rounds) != 1 {
		t.Errorf("results %+v, want one round", out.Results)
	}
	isProfile(t, filepath.Join(r.profiles, "floor-64x1-128B.pprof"))
}

func isProfile(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		t.Errorf("%d bytes, %v, want a compressed profile", len(b), err)
	}
}

func TestCasesChooseTheirServers(t *testing.T) {
	t.Parallel()
	var running []*server
	for _, name := range []string{"floor", "pando", "pando-json", "python"} {
		running = append(running, &server{kind: kind{name: name}})
	}
	want := map[string][]string{
		"64 × 16, 128 B, each": {"floor", "pando", "pando-json", "python"},
		"open, RSA":            {"floor", "pando"},
		"cut to re-open":       {"pando"},
	}
	for _, c := range fullPlan().cases() {
		var names []string
		for _, s := range c.chosen(running) {
			names = append(names, s.kind.name)
		}
		if w := want[c.name]; w != nil && !slices.Equal(names, w) {
			t.Errorf("%s is for %v, want %v", c.name, names, w)
		}
		delete(want, c.name)
	}
	if len(want) > 0 {
		t.Errorf("no cases %v", want)
	}
}

func TestSettledMemoryIsAFigureOfItsOwn(t *testing.T) {
	t.Parallel()
	report := func(settled float64) figure {
		return figure{Value: 18, Report: load.IdleReport{Channels: 1, Settled: settled * 1024}}
	}
	for _, c := range fullPlan().cases() {
		if c.derived == nil {
			continue
		}
		servers := []*server{{kind: kind{name: "floor"}}, {kind: kind{name: "pando"}}, {kind: kind{name: "python"}}}
		got := c.derive(servers, [][]figure{{report(10)}, {report(12)}, {report(0)}})
		if len(got) != 2 || got[1].Median != 12 || got[1].Ratio != 1.2 || got[1].Must != 11 {
			t.Errorf("%s: %+v, want 12 for pando, 1.2 of the floor, and none for python", c.name, got)
		}
		return
	}
	t.Error("no case has a second figure")
}
