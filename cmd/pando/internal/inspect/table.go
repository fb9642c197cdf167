package inspect

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pando-agents/pando"
)

// table is the tree with its columns.
type table struct {
	in       *pando.Inspection
	channels int // how many are shown
	width    int // of the screen, or 0
	rows     []row
}

// row is a node, or a note about the one above.
type row struct {
	branch string
	names  [3]string // from the fullest to the shortest
	note   line
	cells  [columns]string
	style  string // of the state
}

const columns = 6

var headings = [columns]string{"STATE", "GEN", "RESTARTS", "UP", "QUEUED", "PENDING"}

// lines lays the tree out: with the fullest names that leave room for the
// columns, then with fewer columns.
func (t *table) lines() []line {
	t.rows = nil
	t.node(&t.in.Tree, "", "")
	var widths [columns]int
	for i, h := range headings {
		widths[i] = len(h)
		for _, r := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r.cells[i]))
		}
	}
	name, level, last := t.fit(widths)
	lines := []line{heading(name, widths, last)}
	for _, r := range t.rows {
		if r.note != nil {
			lines = append(lines, append(line{{r.branch, dim}}, r.note...))
			continue
		}
		lines = append(lines, r.line(name, level, widths, last))
	}
	return lines
}

// fit returns the width of the names, how short they are, and how many columns
// there are.
func (t *table) fit(widths [columns]int) (name, level, last int) {
	for last = columns; last > 1; last-- {
		rest := 0
		for _, w := range widths[:last] {
			rest += w + 2
		}
		for level = range 3 {
			name = 0
			for _, r := range t.rows {
				if r.note == nil {
					name = max(name, utf8.RuneCountInString(r.branch+r.names[level]))
				}
			}
			if t.width == 0 || name+rest <= t.width {
				return name, level, last
			}
		}
	}
	return min(name, max(t.width-widths[0]-2, 0)), 2, 1
}

func heading(name int, widths [columns]int, last int) line {
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", name))
	for i := range last {
		b.WriteString(pad(headings[i], widths[i], i))
	}
	return line{{b.String(), dim}}
}

// pad fills up a column: the state to the left, numbers to the right.
func pad(text string, width, column int) string {
	gap := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	if column == 0 {
		return "  " + text + gap
	}
	return "  " + gap + text
}

func (r *row) line(name, level int, widths [columns]int, last int) line {
	left := max(0, name-utf8.RuneCountInString(r.branch))
	shown := r.names[level]
	switch {
	case left == 0:
		shown = ""
	case utf8.RuneCountInString(shown) > left:
		shown = text(shown).paint(left, false)
	}
	l := line{{r.branch, dim}, {shown, plain}, {strings.Repeat(" ", max(0, left-utf8.RuneCountInString(shown))), plain}}
	for i := range last {
		style := plain
		if i == 0 {
			style = r.style
		}
		l = append(l, span{pad(r.cells[i], widths[i], i), style})
	}
	return l
}

// node adds a node and what is below it. branch is what is before its name,
// below what is before the names of its children.
func (t *table) node(n *pando.InspectedNode, branch, below string) {
	name := printable(n.ID)
	full := name
	if n.Strategy != "" {
		full += " (" + printable(n.Strategy) + ")"
	}
	r := row{branch: branch, names: [3]string{full, full, name}, style: styleOf(n.State)}
	r.cells = [columns]string{printable(n.State), fmt.Sprint(n.Generation), fmt.Sprint(n.Restarts), uptime(n.UptimeMS)}
	if n.Mailbox != nil {
		r.cells[4] = fmt.Sprint(n.Mailbox.Queued)
	}
	t.rows = append(t.rows, r)
	channels := n.Path == t.in.Tree.Path+"/channels"
	more := n.ChildrenTotal - len(n.Children)
	hangs := len(n.Children) > 0 || more > 0
	t.notes(n, t.trunk(below, hangs), nil)
	t.exposure(n, t.trunk(below, hangs))
	if channels {
		t.allChannels(below)
		return
	}
	for i := range n.Children {
		branch, deeper := fork(below, i == len(n.Children)-1 && more == 0)
		t.node(&n.Children[i], branch, deeper)
	}
	if more > 0 {
		t.more(below, fmt.Sprintf("… %d more", more))
	}
}

// trunk is what is before a note about a node: children below it hang on a line.
func (t *table) trunk(below string, hangs bool) string {
	if hangs {
		return below + "│  "
	}
	return below + "   "
}

func fork(below string, last bool) (branch, deeper string) {
	if last {
		return below + "└─ ", below + "   "
	}
	return below + "├─ ", below + "│  "
}

func (t *table) more(below, text string) {
	branch, _ := fork(below, true)
	t.rows = append(t.rows, row{branch: branch, note: line{{text, dim}}})
}

func (t *table) allChannels(below string) {
	list := t.in.Channels.List[:min(t.channels, len(t.in.Channels.List))]
	more := t.in.Channels.Total - len(list)
	for i := range list {
		branch, deeper := fork(below, i == len(list)-1 && more <= 0)
		t.channel(&list[i], branch, deeper)
	}
	switch {
	case more <= 0:
	case len(list) == len(t.in.Channels.List):
		t.more(below, fmt.Sprintf("… %s (--channels N)", count(more, "more channel")))
	default:
		t.more(below, fmt.Sprintf("… %s", count(more, "more channel")))
	}
}

// channel adds a channel: who dialled, the peer and the id.
func (t *table) channel(c *pando.InspectedChannel, branch, below string) {
	arrow := "← "
	if c.URL != "" {
		arrow = "→ "
	}
	peer, id := printable(c.Peer), printable(c.ID)
	r := row{branch: branch, style: styleOf(c.Status), names: [3]string{
		arrow + peer + " " + id, arrow + peer + " " + short(id), arrow + short(peer) + " " + short(id),
	}}
	r.cells = [columns]string{
		printable(c.Status), "", fmt.Sprint(c.Restarts), age(t.in.Time.Sub(c.Since)), "", fmt.Sprint(c.Pending),
	}
	queued := c.Waiting
	if c.Actor != nil {
		r.cells[1] = fmt.Sprint(c.Actor.Generation)
		if c.Actor.Mailbox != nil {
			queued += c.Actor.Mailbox.Queued
		}
	}
	r.cells[4] = fmt.Sprint(queued)
	t.rows = append(t.rows, r)
	actor := c.Actor
	if actor == nil {
		actor = &pando.InspectedNode{}
	}
	t.notes(actor, below, notes(c))
}

// notes says what has happened on a channel that is worth a look.
func notes(c *pando.InspectedChannel) (told []string) {
	say := func(n uint64, format string) {
		if n > 0 {
			told = append(told, fmt.Sprintf(format, n))
		}
	}
	say(c.Reopened, "reopened %d")
	say(c.Panics, "handler panics %d")
	say(c.Timeouts, "handler timeouts %d")
	say(uint64(max(c.Hanging, 0)), "of which %d still run")
	say(c.Refused, "overloaded %d")
	say(c.Dropped, "dropped %d")
	if c.Actor != nil && c.Actor.State != "running" && c.Actor.State != "" {
		told = append(told, "actor "+printable(c.Actor.State))
	}
	if c.Outbound > 0 {
		told = append(told, bytes(c.Outbound)+" to be written")
	}
	return told
}

// notes adds a line about what a node has been through, if there is anything.
func (t *table) notes(n *pando.InspectedNode, branch string, told []string) {
	if n.Mailbox != nil && n.Mailbox.Dropped > 0 {
		told = append(told, fmt.Sprintf("mailbox dropped %d", n.Mailbox.Dropped))
	}
	var note line
	if len(told) > 0 {
		note = line{{strings.Join(told, ", "), yellow}}
	}
	f := n.LastFailure
	if f != nil {
		if note != nil {
			note = append(note, span{"; ", plain})
		}
		note = append(note, span{fmt.Sprintf("failed %s ago: ", age(t.in.Time.Sub(f.At))), yellow}, span{printable(f.Reason), plain})
	}
	if note == nil {
		return
	}
	t.rows = append(t.rows, row{branch: branch, note: note})
	if f != nil {
		for _, l := range stack(f.Stack, "") {
			t.rows = append(t.rows, row{branch: branch, note: l})
		}
	}
}

// exposure says who reaches an actor from outside, and with what.
func (t *table) exposure(n *pando.InspectedNode, branch string) {
	for _, a := range t.in.Actors {
		if !a.Exposed || n.Path != t.in.Tree.Path+"/actors/"+a.Name {
			continue
		}
		who := "all peers"
		if a.Peers != nil {
			who = count(len(a.Peers), "agent")
		}
		says := fmt.Sprintf("takes %s from %s", printable(strings.Join(a.Types, ", ")), who)
		if a.ByType {
			says += ", also by type"
		}
		note := line{{says, dim}}
		if a.Dropped > 0 {
			note = append(note, span{fmt.Sprintf("; dropped %d for want of room", a.Dropped), yellow})
		}
		t.rows = append(t.rows, row{branch: branch, note: note})
	}
}

func uptime(ms int64) string {
	if ms == 0 {
		return ""
	}
	return age(time.Duration(ms) * time.Millisecond)
}
