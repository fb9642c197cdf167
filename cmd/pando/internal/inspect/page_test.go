package inspect

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pando-agents/pando"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func channel(n int, state string) pando.InspectedChannel {
	return pando.InspectedChannel{
		ChannelInfo: pando.ChannelInfo{
			ID: fmt.Sprintf("c%07d-1111-4111-8111-111111111111", n), Peer: fmt.Sprintf("a%07d-2222-4222-8222-222222222222", n),
			Status: state, Since: noon.Add(-time.Duration(n) * time.Minute),
		},
		Actor: &pando.InspectedNode{Kind: "actor", State: "running", Generation: 1, Mailbox: &pando.InspectedMailbox{}},
	}
}

// sampleAgent returns an agent with many channels, three of which have a story.
func sampleAgent() *pando.Inspection {
	in := &pando.Inspection{
		Schema: 1, AgentID: "0d3f1c2e-3333-4333-8333-333333333333", Version: "v0.1.0", Time: noon, UptimeMS: 7_380_000, Accepting: true,
		Tree: pando.InspectedNode{
			ID: "agent", Path: "agent", Kind: "supervisor", Strategy: "one_for_one", State: "running", Generation: 1, UptimeMS: 7_380_000,
			ChildRestarts: 1, ChildrenTotal: 4,
			Children: []pando.InspectedNode{
				{ID: "channels", Path: "agent/channels", Kind: "supervisor", Strategy: "dynamic", State: "running", Generation: 1, UptimeMS: 7_380_000, ChildRestarts: 3, ChildrenTotal: 1200},
				{ID: "registry", Path: "agent/registry", Kind: "actor", State: "running", Generation: 2, Restarts: 1, UptimeMS: 60_000,
					Mailbox:     &pando.InspectedMailbox{Queued: 3, HighWater: 9},
					LastFailure: &pando.InspectedFailure{Reason: "panic: told to crash", At: noon.Add(-time.Minute), Stack: "goroutine 1\n\tregistry.go:1\n"}},
				{ID: "workers", Path: "agent/workers", Kind: "supervisor", Strategy: "dynamic", State: "backing off", ChildrenTotal: 101,
					Children: []pando.InspectedNode{{ID: "w1", Path: "agent/workers/w1", Kind: "service", State: "running", Generation: 1, UptimeMS: 5000}}},
				{ID: "actors", Path: "agent/actors", Kind: "supervisor", Strategy: "one_for_one", State: "running", Generation: 1, UptimeMS: 7_380_000, ChildrenTotal: 1,
					Children: []pando.InspectedNode{{ID: "desk", Path: "agent/actors/desk", Kind: "actor", State: "running", Generation: 1, UptimeMS: 5000, Mailbox: &pando.InspectedMailbox{Queued: 2}}}},
			},
		},
		Actors:         []pando.InspectedActor{{Name: "desk", Exposed: true, Types: []string{"bank.add", "bank.balance"}, ByType: true, Dropped: 4}, {Name: "hidden"}},
		Channels:       pando.InspectedChannels{Total: 1200, ByState: map[string]int{"connected": 1199, "reconnecting": 1}},
		Handshakes:     map[string]uint64{"accepted": 1250, "proof_invalid": 2, "no_token": 7},
		AbandonedNow:   1,
		AbandonedTotal: 4,
		Abandoned:      []pando.InspectedAbandoned{{Path: "agent/workers/w2", Generation: 3, Since: noon.Add(-time.Hour), Reason: "does not stop"}},
	}
	for n := range 50 {
		in.Channels.List = append(in.Channels.List, channel(n, "connected"))
	}
	list := in.Channels.List
	list[0].Status, list[0].URL, list[0].Restarts, list[0].Pending, list[0].Panics = "reconnecting", "ws://x/ws", 2, 4, 1
	list[0].Actor.Generation, list[0].Actor.LastFailure = 3, &pando.InspectedFailure{Reason: "panic: boom", At: noon.Add(-3 * time.Second)}
	list[1].Waiting, list[1].Actor.Mailbox.Queued, list[1].Outbound = 17, 2, 5000
	list[2].Actor = nil
	return in
}

func happened() []pando.InspectedEvent {
	var list []pando.InspectedEvent
	for n := range 8 {
		list = append(list, pando.InspectedEvent{
			Time: noon.Add(time.Duration(n-9) * time.Second), Kind: "started", Path: "agent/channels/in/a0000000-2222-4222-8222-222222222222/c0000000-1111", Generation: uint64(n),
		})
	}
	list[6].Kind, list[6].Reason, list[6].DelayMS = "failed", "panic: boom", 25
	list[7].Missed = 3
	return list
}

func TestPageFitsItsScreenAndKeepsItsColumns(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]*Page{
		"pipe":   {},
		"80x24":  {Width: 80, Height: 24, Rates: &Rates{Restarts: 0.5, Accepted: 12}, Events: happened(), Notice: "every 1s, q leaves"},
		"120x40": {Width: 120, Height: 40, Events: happened(), Notice: "for 3s: it is gone", Alarm: true},
		"40x12":  {Width: 40, Height: 12, Events: happened(), Notice: "every 1s, q leaves"},
		"200":    {Width: 200, Color: true},
	} {
		in := sampleAgent()
		if name == "pipe" {
			in.Channels.List = in.Channels.List[:4]
		}
		lines := page.Draw(in)
		got := strings.Join(lines, "\n") + "\n"
		if page.Height > 0 && len(lines) > page.Height {
			t.Errorf("%s has %d lines", name, len(lines))
		}
		for _, l := range lines {
			if page.Width > 0 && !page.Color && utf8.RuneCountInString(l) > page.Width {
				t.Errorf("%s: %d columns: %s", name, utf8.RuneCountInString(l), l)
			}
		}
		if !page.Color && strings.Contains(got, "\x1b") {
			t.Errorf("%s has colours", name)
		}
		golden(t, name, got)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s is not as in %s (%v):\n%s", name, path, err, got)
	}
}

func TestNoScreenIsTooSmall(t *testing.T) {
	t.Parallel()
	for width := 0; width < 60; width += 3 {
		for height := range 20 {
			page := Page{Width: width, Height: height, Events: happened(), Notice: "q"}
			lines := page.Draw(sampleAgent())
			if height > 0 && len(lines) > height {
				t.Errorf("%d lines on a screen of %dx%d", len(lines), width, height)
			}
			for _, l := range lines {
				if width > 0 && utf8.RuneCountInString(l) > width {
					t.Errorf("%q on a screen of %dx%d", l, width, height)
				}
			}
		}
	}
}

func TestWhatPeersChooseCannotTellTheTerminalAnything(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\x07\r\n\u202e\u0085\x9b2J"
	in := sampleAgent()
	c := &in.Channels.List[0]
	c.ID, c.Peer, c.Status, c.Actor.LastFailure.Reason, c.Actor.LastFailure.Stack = evil, evil, evil, evil, evil
	c.Actor.State = evil
	in.AgentID, in.Version, in.Handshakes[evil], in.Channels.ByState[evil] = evil, evil, 1, 1
	in.Tree.Children[1].ID, in.Tree.Children[1].State, in.Tree.Children[1].Strategy = evil, evil, evil
	in.Abandoned[0].Path, in.Abandoned[0].Reason, in.Abandoned[0].Stack = evil, evil, evil
	events := happened()
	events[7].Path, events[7].Kind, events[7].Reason = evil, evil, evil
	page := Page{Events: events, Notice: evil}
	for _, l := range page.Draw(in) {
		if strings.ContainsAny(l, "\x1b\x07\r\n\u202e\u0085\u009b") || !utf8.ValidString(l) {
			t.Errorf("%q gets to the terminal", l)
		}
	}
}

func TestStacksAreShownBelowTheirActor(t *testing.T) {
	t.Parallel()
	got := strings.Join((&Page{}).Draw(sampleAgent()), "\n")
	if !strings.Contains(got, "│     failed 1m00s ago: panic: told to crash\n│     goroutine 1\n│         registry.go:1\n") {
		t.Errorf("no stack in\n%s", got)
	}
}

func TestRatesAreOfTheLastSecondsAndOfOneAgent(t *testing.T) {
	t.Parallel()
	in := sampleAgent()
	var past []sample
	look := func(uptime int64, restarts uint64) *Rates {
		in.UptimeMS, in.Tree.ChildRestarts = uptime, restarts
		past = remember(past, in)
		return rates(past)
	}
	if r := look(1000, 10); r != nil {
		t.Errorf("one look has the rates %+v", r)
	}
	if r := look(3000, 14); r == nil || r.Restarts != 2 || r.Accepted != 0 {
		t.Errorf("4 restarts in 2 s are %+v", r)
	}
	if r := look(3000, 14); r == nil || r.Restarts != 2 {
		t.Errorf("the same look again: %+v", r)
	}
	for at := int64(4000); at < 60_000; at += 1000 {
		look(at, 14)
	}
	if r := look(60_000, 14); r == nil || r.Restarts != 0 || len(past) > 8 {
		t.Errorf("a minute later: %+v from %d looks", r, len(past))
	}
	if r := look(500, 0); r != nil {
		t.Errorf("another agent has the rates %+v", r)
	}
	if r := look(1500, 0); r == nil || r.Restarts != 0 {
		t.Errorf("then it has %+v", r)
	}
}
