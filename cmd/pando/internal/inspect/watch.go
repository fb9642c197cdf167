package inspect

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pando-agents/pando"
)

// Watch looks at an agent again and again.
type Watch struct {
	Client   *Client
	Interval time.Duration
	Out      io.Writer
	// Screen is the terminal; nil means that frames go to Out one after the
	// other.
	Screen *Screen
	Color  bool
}

// Screen is a terminal on which frames are drawn in place.
type Screen struct {
	// Size returns the present width and height.
	Size func() (width, height int)
	// Resized tells that Size has changed; Keys what the user types.
	Resized <-chan struct{}
	Keys    <-chan byte
}

const (
	keptEvents = 8                      // below the tree
	redraw     = 100 * time.Millisecond // at least between frames for events
	rateOver   = 5 * time.Second        // what rates are measured over
	reconnect  = time.Second            // before the events are asked for again
)

// Control sequences (ECMA-48, and the private modes of xterm): the alternate
// screen, no cursor, no wrapping of long lines.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// Run shows frames until ctx ends or the user leaves. If the agent cannot be
// looked at, it fails at the first look; later ones fail on a screen only in so
// far as they say so and are tried again.
func (w *Watch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := &view{Watch: w, looks: make(chan look, 1), events: make(chan pando.InspectedEvent, 256)}
	first := v.look(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if first.err != nil {
		return first.err
	}
	go v.listen(ctx)
	var keys <-chan byte
	var resized <-chan struct{}
	if w.Screen != nil {
		keys, resized = w.Screen.Keys, w.Screen.Resized
		w.write(enterScreen)
		defer w.write(leaveScreen)
	}
	if err := v.take(first); err != nil {
		return err
	}
	next := time.NewTimer(w.Interval)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-keys:
			if key == 'q' || key == 'Q' || key == 3 || key == 4 { // Ctrl-C, Ctrl-D
				return nil
			}
		case <-resized:
			v.draw()
		case <-v.stale:
			v.draw()
		case e := <-v.events:
			v.happened(e)
		case <-next.C:
			go func() { v.looks <- v.look(ctx) }()
		case l := <-v.looks:
			if ctx.Err() != nil {
				return nil
			}
			if err := v.take(l); err != nil {
				return err
			}
			next.Reset(w.Interval)
		}
	}
}

func (w *Watch) write(s string) { _, _ = io.WriteString(w.Out, s) }

// look is one answer of the agent.
type look struct {
	in  pando.Inspection
	err error
}

// view is what the loop of Run knows.
type view struct {
	*Watch
	looks  chan look
	events chan pando.InspectedEvent
	stale  <-chan time.Time // fires when there are events to be drawn
	last   pando.Inspection
	past   []sample
	recent []pando.InspectedEvent
	err    error     // of the last look
	since  time.Time // of err
	frames int
}

func (v *view) look(ctx context.Context) (l look) {
	l.in, _, l.err = v.Client.Tree(ctx)
	return l
}

// listen takes events for as long as the agent lives, and those of the next one
// at the same place after it.
func (v *view) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = v.Client.Events(ctx, func(e pando.InspectedEvent) { // looks tell what is wrong
			select {
			case v.events <- e:
			case <-ctx.Done():
			}
		})
		select {
		case <-time.After(reconnect):
		case <-ctx.Done():
		}
	}
}

func (v *view) happened(e pando.InspectedEvent) {
	v.recent = append(v.recent, e)
	if over := len(v.recent) - keptEvents; over > 0 {
		v.recent = slices.Delete(v.recent, 0, over)
	}
	if v.Screen != nil && v.stale == nil {
		v.stale = time.After(redraw)
	}
}

// take shows what a look has brought.
func (v *view) take(l look) error {
	switch {
	case l.err != nil && v.Screen == nil:
		return l.err
	case l.err != nil:
		if v.err == nil {
			v.since = time.Now()
		}
		v.err = l.err
	default:
		v.err, v.last = nil, l.in
		v.past = remember(v.past, &v.last)
	}
	v.draw()
	return nil
}

func (v *view) draw() {
	v.stale = nil
	page := Page{Color: v.Color, Rates: rates(v.past), Events: v.recent}
	if v.Screen == nil {
		v.appendFrame(&page)
		return
	}
	page.Width, page.Height = v.Screen.Size()
	page.Notice = fmt.Sprintf("every %v, q leaves", v.Interval)
	if v.err != nil {
		page.Notice, page.Alarm = fmt.Sprintf("for %s: %v", age(time.Since(v.since)), v.err), true
	}
	var b strings.Builder
	b.WriteString(home)
	for i, l := range page.Draw(&v.last) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l + clearLine)
	}
	b.WriteString(clearBelow)
	v.write(b.String())
}

// appendFrame shows each event once.
func (v *view) appendFrame(page *Page) {
	var b strings.Builder
	if v.frames > 0 {
		b.WriteString(strings.Repeat("─", 80) + "\n")
	}
	for _, l := range page.Draw(&v.last) {
		b.WriteString(l + "\n")
	}
	v.frames++
	v.recent = nil
	v.write(b.String())
}

// sample is what rates are made of.
type sample struct {
	uptime                      int64
	restarts, accepted, refused uint64
}

// remember keeps the samples of the last seconds, and at least two. An agent
// that was started anew begins from nothing.
func remember(past []sample, in *pando.Inspection) []sample {
	s := sample{uptime: in.UptimeMS, restarts: restarts(&in.Tree)}
	s.accepted, s.refused = handshakes(in)
	if n := len(past); n > 0 && s.uptime < past[n-1].uptime {
		past = nil
	}
	past = append(past, s)
	for len(past) > 2 && s.uptime-past[1].uptime >= rateOver.Milliseconds() {
		past = past[1:]
	}
	return past
}

// rates compares the ends of the samples. Counters that have gone back belong to
// a supervisor that was started anew.
func rates(past []sample) *Rates {
	if len(past) < 2 {
		return nil
	}
	a, b := past[0], past[len(past)-1]
	seconds := float64(b.uptime-a.uptime) / 1000
	if seconds <= 0 {
		return nil
	}
	per := func(a, b uint64) float64 { return float64(b-min(a, b)) / seconds }
	return &Rates{per(a.restarts, b.restarts), per(a.accepted, b.accepted), per(a.refused, b.refused)}
}
