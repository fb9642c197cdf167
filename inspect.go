package pando

import (
	"cmp"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/pando-agents/pando/supervisor"
)

const (
	inspectChannels    = 50     // how many channels are listed by default
	maxInspectChannels = 10_000 // and at most
	maxInspected       = 100    // children of a supervisor, and abandoned incarnations
	maxReason          = 1024   // bytes of a reason
	maxActors          = 1_000
	maxInspectedStack  = 16 << 10
)

// Inspect returns what there is to see. It takes some milliseconds for each
// 10,000 channels, and holds up nobody; the parts are looked at one after the
// other and may not fit together exactly.
func (a *Agent) Inspect(o InspectOptions) Inspection {
	now := a.env.Now()
	in := Inspection{
		Schema: InspectionSchema, AgentID: a.id, Version: version(), Time: now, Accepting: a.accepting(),
		Handshakes: a.Handshakes(), DeadLetters: a.system.DeadLetters(),
	}
	in.Actors = a.table.List()
	in.ActorsTotal = len(in.Actors)
	slices.SortStableFunc(in.Actors, func(x, y InspectedActor) int {
		switch {
		case x.Exposed == y.Exposed:
			return 0
		case x.Exposed:
			return -1
		}
		return 1
	})
	in.Actors = in.Actors[:min(maxActors, len(in.Actors))]
	if began := a.began.Load(); began != nil {
		in.UptimeMS = now.Sub(*began).Milliseconds()
	}
	tree := a.tree.Outline(maxInspected)
	look := inspector{stacks: o.Stacks, channels: a.registry.Channels(), path: tree.Path + "/channels"}
	in.Tree = look.supervisor(&tree)
	if in.UptimeMS > 0 {
		in.Tree.Generation, in.Tree.UptimeMS = 1, in.UptimeMS
	}
	in.Abandoned, in.AbandonedNow, in.AbandonedTotal = look.abandoned(tree.Abandoned), len(tree.Abandoned), tree.AbandonedTotal
	in.Channels = look.list(a.registry.All(), o.limit())
	return in
}

func (o InspectOptions) limit() int {
	switch {
	case o.Channels < 0:
		return 0
	case o.Channels == 0:
		return inspectChannels
	}
	return min(o.Channels, maxInspectChannels)
}

// version returns the version of this module in the program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
			if m.Path == "github.com/pando-agents/pando" && m.Version != "" {
				return m.Version
			}
		}
	}
	return "(devel)"
}

// inspector puts one Inspection together.
type inspector struct {
	stacks   bool
	channels *supervisor.Supervisor
	path     string // of channels
}

// supervisor returns what a supervisor tells of itself and its children. Those
// of the channels are listed elsewhere.
func (l *inspector) supervisor(s *supervisor.Snapshot) InspectedNode {
	n := InspectedNode{
		ID: s.Path[strings.LastIndexByte(s.Path, '/')+1:], Path: s.Path, Kind: "supervisor",
		Strategy: s.Strategy.String(), State: s.State.String(), ChildRestarts: s.Restarts,
		ChildrenTotal: len(s.Children) + s.More,
	}
	if s.Path == l.path {
		return n
	}
	for i := range s.Children {
		n.Children = append(n.Children, l.child(&s.Children[i], s.Path))
	}
	return n
}

func (l *inspector) child(c *supervisor.ChildSnapshot, parent string) InspectedNode {
	n := InspectedNode{Kind: "service"}
	if c.Supervisor != nil {
		n = l.supervisor(c.Supervisor)
	}
	n.ID, n.Path, n.State, n.Restart = c.ID, parent+"/"+c.ID, c.State.String(), c.Restart.String()
	n.Generation, n.Restarts, n.UptimeMS = c.Generation, uint64(c.Restarts), c.Uptime.Milliseconds()
	if c.Stats != nil {
		n.Mailbox = &InspectedMailbox{Queued: c.Stats.Queue, HighWater: c.Stats.HighWater, Dropped: c.Stats.Dropped}
		if c.Supervisor == nil {
			n.Kind = "actor"
		}
	}
	if c.Reason != nil {
		n.LastFailure = &InspectedFailure{Reason: reason(c.Reason), At: c.FailedAt}
		if l.stacks {
			n.LastFailure.Stack = cut(string(c.Stack()), maxInspectedStack)
		}
	}
	return n
}

func (l *inspector) abandoned(all []supervisor.AbandonedChild) []InspectedAbandoned {
	list := make([]InspectedAbandoned, 0, min(len(all), maxInspected))
	for _, c := range all[:cap(list)] {
		item := InspectedAbandoned{
			Path: c.Supervisor + "/" + c.ID, Generation: c.Generation, Since: c.Since, Reason: reason(c.Reason),
		}
		if l.stacks {
			item.Stack = cut(string(c.Stack), maxInspectedStack)
		}
		list = append(list, item)
	}
	return list
}

// looked is a channel that may be listed.
type looked struct {
	ch     *Channel
	info   ChannelInfo
	queued int
}

// list picks the channels with the most to tell, with memory for the limit only.
func (l *inspector) list(all []*Channel, limit int) InspectedChannels {
	out := InspectedChannels{Total: len(all), ByState: make(map[string]int), List: []InspectedChannel{}}
	var best []looked
	for _, ch := range all {
		info := ch.Info()
		out.ByState[info.Status]++
		if limit == 0 {
			continue
		}
		best = append(best, looked{ch, info, info.Waiting + info.Pending + ch.Process().Stats().Queue})
		if len(best) == 2*limit {
			slices.SortFunc(best, moreToTell)
			best = best[:limit]
		}
	}
	slices.SortFunc(best, moreToTell)
	for _, b := range best[:min(limit, len(best))] {
		b.info.URL = withoutQuery(b.info.URL)
		listed := InspectedChannel{ChannelInfo: b.info}
		if c, err := l.channels.Child(b.ch.Key()); err == nil {
			actor := l.child(&c, l.path)
			listed.Actor = &actor
		}
		out.List = append(out.List, listed)
	}
	return out
}

// moreToTell is the order of the list.
func moreToTell(a, b looked) int {
	losses := func(i *ChannelInfo) uint64 { return i.Panics + i.Timeouts + i.Refused + i.Dropped }
	broken := func(i *ChannelInfo) int {
		if i.State == StateConnected {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(b.info.Restarts, a.info.Restarts),
		cmp.Compare(broken(&b.info), broken(&a.info)),
		cmp.Compare(b.queued, a.queued),
		cmp.Compare(losses(&b.info), losses(&a.info)),
		a.info.Since.Compare(b.info.Since),
		cmp.Compare(a.info.ID, b.info.ID),
	)
}

// withoutQuery leaves out of a URL what may be secret.
func withoutQuery(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.Fragment, u.ForceQuery, u.RawQuery = nil, "", u.RawQuery != "", ""
	return u.String()
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return cut(err.Error(), maxReason)
}

// cut shortens a text that nobody has bounded.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}

func inspectedEvent(e *supervisor.Event) InspectedEvent {
	return InspectedEvent{
		Time: e.At, Kind: e.Kind.String(), Path: e.Supervisor + "/" + e.Child, Generation: e.Generation,
		Reason: reason(e.Reason), DelayMS: e.Delay.Round(time.Millisecond).Milliseconds(), Missed: e.Missed,
	}
}
