package systemcmd

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/pando-agents/pando/system"
)

// page shows events to people.
type page struct {
	out   io.Writer
	color bool
}

func newPage(out io.Writer) *page {
	f, ok := out.(*os.File)
	return &page{out: out, color: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// styles are SGR sequences of ECMA-48, by kind of event.
func style(kind string) string {
	switch kind {
	case system.EventDown, system.EventGone, system.EventKilled:
		return "1;31"
	case system.EventUp:
		return "32"
	case system.EventAsked, system.EventRegistry, system.EventStopped:
		return "2"
	}
	return ""
}

// event prints one line.
func (p *page) event(e system.Event) {
	who := e.Agent
	if e.Actor != "" && e.Actor != e.Agent && e.Kind != system.EventSays {
		who += "/" + e.Actor
	}
	text := clean(e.Text)
	switch e.Kind {
	case system.EventRegistry:
		who, text = "registry", "identity registry at "+text
	case system.EventAsked:
		text = "is asked: " + text
	case system.EventKilled:
		text = "KILLED, as was asked for"
	case system.EventDown:
		text = "DOWN: " + text
	case system.EventGone:
		text = "GONE: " + text
	case system.EventStopped:
		text = strings.TrimSpace("has stopped " + text)
	case system.EventOutput:
		text = "| " + text
	}
	if e.PID != 0 {
		text += fmt.Sprintf(" (pid %d)", e.PID)
	}
	line := fmt.Sprintf("%s  %-14s %s", e.Time.Format("15:04:05.000"), who, text)
	if s := style(e.Kind); s != "" && p.color {
		line = "\x1b[" + s + "m" + line + "\x1b[0m"
	}
	_, _ = fmt.Fprintln(p.out, line)
}

// clean keeps what agents write from reaching the terminal as anything but text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
