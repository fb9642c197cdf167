package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/pando-agents/pando"
)

// child is one agent in a process of its own. It says on its stdout, a JSON
// object in each line, what it does, and ends when its stdin does.
type child struct {
	name, dir, listen, halt, pythonName string
}

// news is such a line. The Python agent writes the same.
type news struct {
	Event string `json:"event"`
	Text  string `json:"text,omitempty"`
}

// The events of news.
const (
	eventReady = "ready" // Text: the URL
	eventSays  = "says"  // Text: what
	eventHalts = "halts" // Text: at which point
	eventHome  = "home"  // a buyer is done
	eventEnded = "ended" // of the process; Text: how
)

// idsFile has the ids of all agents, by name.
const idsFile = "ids.json"

func (o child) run(ctx context.Context, s *scenario, in io.Reader, w io.Writer) (err error) {
	credentials, err := pando.CredentialsFromEnv(filepath.Join(o.dir, o.name+".env"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(o.dir, idsFile))
	if err != nil {
		return err
	}
	p := place{python: o.pythonName, journal: filepath.Join(o.dir, theBank+".journal")}
	if err := json.Unmarshal(text, &p.ids); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	tell := func(event, text string) {
		line, _ := json.Marshal(news{event, text})
		mu.Lock()
		defer mu.Unlock()
		_, _ = w.Write(append(line, '\n'))
	}
	t := &trader{name: o.name, halt: o.halt, out: func(_, text string) { tell(eventSays, text) }, halted: func(point string) {
		tell(eventHalts, point)
		select {} // until it is killed
	}}
	a, err := run(credentials, ln)
	if err != nil {
		return err
	}
	defer func() {
		if e := a.stop(); err == nil {
			err = e
		}
	}()
	home, err := trade(ctx, a.Agent, t, s, p)
	if err != nil {
		return err
	}
	tell(eventReady, "ws://"+ln.Addr().String()+"/ws")
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, in)
	}()
	select {
	case <-home:
		tell(eventHome, "")
	case <-over:
	case <-ctx.Done():
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
	return nil
}
