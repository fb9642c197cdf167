package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pando-agents/pando"
)

// Page is how an inspection is shown.
type Page struct {
	// Width and Height are those of the screen; 0 means as much as is needed.
	Width, Height int
	Color         bool
	// Rates are shown if there are any, and the last Events below the tree.
	Rates  *Rates
	Events []pando.InspectedEvent
	// Notice is shown below all, in red if Alarm is set.
	Notice string
	Alarm  bool
}

// Rates are what happens in a second.
type Rates struct{ Restarts, Accepted, Refused float64 }

// Draw returns the lines of the page. On a page with a height, channels and
// events make room for the rest, and what is still too much is counted.
func (p *Page) Draw(in *pando.Inspection) []string {
	channels, events := len(in.Channels.List), len(p.Events)
	lines := p.lay(in, channels, events)
	if p.Height > 0 {
		channels, events = min(channels, p.Height), min(events, max(2, p.Height/4))
		some := min(channels, p.Height/5)
		for lines = p.lay(in, channels, events); len(lines) > p.Height && channels+events > 0; lines = p.lay(in, channels, events) {
			if channels > some || events == 0 {
				channels--
			} else {
				events--
			}
		}
		lines = p.cut(lines)
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.paint(p.Width, p.Color)
	}
	return out
}

// cut leaves out what does not fit, but for the notice at the end.
func (p *Page) cut(lines []line) []line {
	over := len(lines) - p.Height
	if over <= 0 {
		return lines
	}
	end := []line{{{fmt.Sprintf("… %s; make the window higher", count(over+1, "more line")), dim}}}
	if p.Notice != "" && p.Height > 1 {
		end = append(end, lines[len(lines)-1])
	}
	return append(lines[:p.Height-len(end):p.Height-len(end)], end...)
}

func (p *Page) lay(in *pando.Inspection, channels, events int) []line {
	lines := append(p.head(in), line{})
	t := table{in: in, channels: channels, width: p.Width}
	lines = append(lines, t.lines()...)
	lines = append(lines, abandoned(in)...)
	lines = append(lines, p.events(in, events)...)
	if p.Notice != "" {
		style := dim
		if p.Alarm {
			style = red
		}
		lines = append(lines, line{}, line{{printable(p.Notice), style}})
	}
	return lines
}

// head says how the agent is.
func (p *Page) head(in *pando.Inspection) []line {
	state := span{"takes no channels now", yellow}
	switch {
	case in.Accepting:
		state = span{"takes channels", green}
	case in.Tree.State == "idle":
		state = span{"not running", yellow}
	}
	channels := text(count(in.Channels.Total, "channel"))
	for i, s := range slices.Sorted(maps.Keys(in.Channels.ByState)) {
		sep := ": "
		if i > 0 {
			sep = ", "
		}
		channels = append(channels, span{sep, plain}, span{fmt.Sprintf("%d %s", in.Channels.ByState[s], printable(s)), styleOf(s)})
	}
	accepted, refused := handshakes(in)
	lines := pack(p.Width, line{{"agent ", plain}, {printable(in.AgentID), bold}}, line{state},
		text("up "+age(time.Duration(in.UptimeMS)*time.Millisecond)), line{{"pando " + printable(in.Version), dim}})
	return append(lines, pack(p.Width, channels,
		text("restarts "+p.rate(restarts(&in.Tree), func(r *Rates) float64 { return r.Restarts })),
		text("handshakes "+p.rate(accepted, func(r *Rates) float64 { return r.Accepted })),
		text("refused "+p.rate(refused, func(r *Rates) float64 { return r.Refused })+reasons(in)))...)
}

// pack puts parts on as few lines as they fit on.
func pack(width int, parts ...line) []line {
	lines := []line{parts[0]}
	for _, part := range parts[1:] {
		last := &lines[len(lines)-1]
		if width > 0 && last.width()+3+part.width() > width {
			lines = append(lines, part)
			continue
		}
		*last = append(append(*last, span{"   ", plain}), part...)
	}
	return lines
}

func (p *Page) rate(n uint64, of func(*Rates) float64) string {
	if p.Rates == nil {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%.1f/s)", n, of(p.Rates))
}

// restarts counts those of a subtree, those of channels included.
func restarts(n *pando.InspectedNode) uint64 {
	sum := n.ChildRestarts
	for i := range n.Children {
		sum += restarts(&n.Children[i])
	}
	return sum
}

func handshakes(in *pando.Inspection) (accepted, refused uint64) {
	for code, n := range in.Handshakes {
		if code == "accepted" {
			accepted += n
		} else {
			refused += n
		}
	}
	return accepted, refused
}

// reasons lists the codes of refusals, the most frequent first.
func reasons(in *pando.Inspection) string {
	var codes []string
	for code, n := range in.Handshakes {
		if code != "accepted" && n > 0 {
			codes = append(codes, code)
		}
	}
	slices.SortFunc(codes, func(a, b string) int {
		if na, nb := in.Handshakes[a], in.Handshakes[b]; na != nb {
			return int(min(nb, 1<<30)) - int(min(na, 1<<30))
		}
		return strings.Compare(a, b)
	})
	for i, code := range codes {
		codes[i] = fmt.Sprintf("%s %d", printable(code), in.Handshakes[code])
	}
	if len(codes) == 0 {
		return ""
	}
	return ": " + strings.Join(codes, ", ")
}

// abandoned lists what was given up on and goes on all the same.
func abandoned(in *pando.Inspection) []line {
	if in.AbandonedNow == 0 {
		return nil
	}
	lines := []line{{}, {{fmt.Sprintf("abandoned and not ended: %d (of %d)", in.AbandonedNow, in.AbandonedTotal), yellow}}}
	for i := range in.Abandoned {
		a := &in.Abandoned[i]
		lines = append(lines, line{
			{fmt.Sprintf("  %s#%d", printable(shortPath(a.Path)), a.Generation), plain},
			{fmt.Sprintf("  for %s: %s", age(in.Time.Sub(a.Since)), printable(a.Reason)), dim},
		})
		lines = append(lines, stack(a.Stack, "    ")...)
	}
	if more := in.AbandonedNow - len(in.Abandoned); more > 0 {
		lines = append(lines, line{{fmt.Sprintf("  … %d more", more), dim}})
	}
	return lines
}

func stack(text, indent string) []line {
	var lines []line
	for l := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if l != "" {
			l = strings.ReplaceAll(l, "\t", "    ")
			lines = append(lines, line{{indent + printable(l), dim}})
		}
	}
	return lines
}

// events lists the last n.
func (p *Page) events(in *pando.Inspection, n int) []line {
	if n == 0 {
		return nil
	}
	events := p.Events[len(p.Events)-n:]
	lines := []line{{}}
	for i := range events {
		e := &events[i]
		if e.Missed > 0 {
			lines = append(lines, line{{fmt.Sprintf("         … %s missed", count(e.Missed, "event")), yellow}})
		}
		l := line{
			{e.Time.In(in.Time.Location()).Format("15:04:05 "), dim},
			{fmt.Sprintf("%s#%d ", printable(shortPath(e.Path)), e.Generation), plain},
			{printable(e.Kind), styleOf(e.Kind)},
		}
		if e.Reason != "" {
			l = append(l, span{": " + printable(e.Reason), plain})
		}
		if e.Kind == "failed" {
			l = append(l, span{fmt.Sprintf(", next start in %v", time.Duration(e.DelayMS)*time.Millisecond), dim})
		}
		lines = append(lines, l)
	}
	return lines
}

// styleOf gives states and events the colour of what they mean to an operator.
func styleOf(state string) string {
	switch state {
	case "running", "connected", "started", "accepted":
		return green
	case "down", "gave up", "abandoned", "closed":
		return red
	case "idle", "ended", "stopped", "returned":
		return dim
	}
	return yellow // on the way from one to the other
}
