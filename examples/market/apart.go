package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pando-agents/pando/examples/python-peer/portproxy/tunnel"
)

// pythonSeller is the seller that may be a Python agent.
const pythonSeller = "pia"

// killedAt is at which point an agent is killed, the first time that it gets
// there.
var killedAt = map[string]string{
	theBank:  "settled", // a sale is in the journal, and nobody knows
	"anna":   "agreed",  // the buyer waits for the answer
	"bert":   "sold",    // the bank has exchanged, and the buyer does not know
	"pia":    "agreed",
	"xaver":  "agreed", // something is kept for it
	"yvonne": "bought",
	"zoe":    "offered",
}

// maxStarts is how often an agent is started before the market gives up.
const maxStarts = 5

// fair is a market of processes.
type fair struct {
	*town
	scenario *scenario
	out      *screen
	python   string // interpreter; empty: all agents are Go
	proxy    string // that leads the Python SDK to the identity registry
	victims  []string

	stalls map[string]*process
	events chan happening
	ending bool
}

// process is an agent in all its lives.
type process struct {
	name    string
	address string // it keeps its address
	url     string
	starts  int
	ready   bool
	home    bool
	cmd     *exec.Cmd // nil: it does not run
	stdin   io.Closer
}

// happening is news of a process.
type happening struct {
	news
	from *process
}

// apart holds the market with a process for each agent. Agents that end are
// started again.
func apart(ctx context.Context, t *town, s *scenario, out *screen, python string, victims []string) (_ report, err error) {
	f := &fair{town: t, scenario: s, out: out, python: python, victims: victims,
		stalls: map[string]*process{}, events: make(chan happening)}
	for _, v := range victims {
		if killedAt[v] == "" {
			return report{}, fmt.Errorf("there is no agent %q", v)
		}
	}
	if err := f.prepare(); err != nil {
		return report{}, err
	}
	if python != "" {
		stop, err := f.serveProxy()
		if err != nil {
			return report{}, err
		}
		defer stop()
	}
	defer f.end()
	for _, group := range [][]string{{theBank}, s.sellers, s.buyers} { // each finds those before it
		if err := f.open(ctx, group); err != nil {
			return report{}, err
		}
	}
	allHome := func() bool {
		return !slices.ContainsFunc(s.buyers, func(b string) bool { return !f.stalls[b].home })
	}
	if err := f.follow(ctx, allHome); err != nil {
		return report{}, err
	}
	return f.count(ctx)
}

// count has the clerk read the books, while the others run: the bank may be on
// its way back.
func (f *fair) count(ctx context.Context) (books report, err error) {
	a, err := run(f.credentials[clerk], nil)
	if err != nil {
		return report{}, err
	}
	done := false
	go func() {
		books, err = read(ctx, a.Agent, place{ids: f.ids()})
		f.events <- happening{news: news{Event: eventRead}}
	}()
	if e := f.follow(context.WithoutCancel(ctx), func() bool { return done }, func() { done = true }); e != nil {
		return report{}, e
	}
	return books, errors.Join(err, a.stop())
}

// eventRead says that the clerk has read the books.
const eventRead = "read"

// prepare writes what the processes read.
func (f *fair) prepare() error {
	for name, c := range f.credentials {
		if err := c.WriteFile(f.file(name, ".env")); err != nil {
			return err
		}
	}
	text, err := json.Marshal(f.ids())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.dir, idsFile), text, 0o600)
}

// open starts agents and returns when they are ready.
func (f *fair) open(ctx context.Context, names []string) error {
	for _, name := range names {
		p := &process{name: name, address: "127.0.0.1:0"}
		f.stalls[name] = p
		if err := f.start(p); err != nil {
			return err
		}
	}
	return f.follow(ctx, func() bool {
		return !slices.ContainsFunc(names, func(n string) bool { return f.stalls[n].starts == 1 && !f.stalls[n].ready })
	})
}

// start starts an agent. The first time, a victim gets to know where to stop.
func (f *fair) start(p *process) error {
	halt := ""
	if p.starts == 0 && slices.Contains(f.victims, p.name) {
		halt = killedAt[p.name]
	}
	p.starts++
	cmd, err := f.command(p, halt)
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.stdin, p.ready = cmd, stdin, false
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var n news
			if json.Unmarshal(lines.Bytes(), &n) == nil {
				f.events <- happening{n, p}
			}
		}
		end := news{Event: eventEnded, Text: "ended"}
		if err := cmd.Wait(); err != nil {
			end.Text = err.Error()
		}
		f.events <- happening{end, p}
	}()
	return nil
}

// command is how an agent is run: this program again, or the Python agent.
func (f *fair) command(p *process, halt string) (*exec.Cmd, error) {
	if p.name == pythonSeller && f.python != "" {
		return f.pythonCommand(p, halt)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-agent", p.name, "-dir", f.dir, "-listen", p.address, "-halt", halt,
		"-seed", strconv.FormatUint(f.scenario.seed, 10)}
	if f.python != "" {
		args = append(args, "-python-agent", pythonSeller)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(withoutCredentials(os.Environ()), childMark+"=1")
	return cmd, nil
}

// childMark is in the environment of the processes.
const childMark = "PANDO_MARKET_CHILD"

// withoutCredentials leaves out the AUTHED_* variables: they would go before the
// files.
func withoutCredentials(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "AUTHED_") })
}

// pythonSetup is what seller.py is told.
type pythonSetup struct {
	Name      string           `json:"name"`
	Listen    string           `json:"listen"`
	Goods     map[string]terms `json:"goods"`
	Bank      string           `json:"bank"`
	BankURL   string           `json:"bank_url"`
	Hold      float64          `json:"hold"` // seconds, as the next
	Patience  float64          `json:"patience"`
	MaxRounds int              `json:"max_rounds"`
	Steps     int              `json:"steps"`
	Halt      string           `json:"halt"`
}

func (f *fair) pythonCommand(p *process, halt string) (*exec.Cmd, error) {
	setup, err := json.Marshal(pythonSetup{
		Name: p.name, Listen: p.address, Goods: f.scenario.stall(p.name),
		Bank: f.credentials[theBank].AgentID, BankURL: f.stalls[theBank].url,
		Hold: holdTime.Seconds(), Patience: bankPatience.Seconds(), MaxRounds: maxRounds, Steps: steps, Halt: halt,
	})
	if err != nil {
		return nil, err
	}
	script := f.file(p.name, ".py")
	if err := os.WriteFile(script, sellerScript, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(f.python, "-u", script, f.file(p.name, ".env"), string(setup))
	cmd.Env = append(withoutCredentials(os.Environ()), "AUTHED_REGISTRY_URL=https://localhost", "HTTPS_PROXY="+f.proxy,
		"NO_PROXY=127.0.0.1", "SSL_CERT_FILE="+f.caFile, "PYTHONDONTWRITEBYTECODE=1")
	return cmd, nil
}

//go:embed seller.py
var sellerScript []byte

// serveProxy leads the Python SDK to the identity registry: it looks for one at
// port 443 only.
func (f *fair) serveProxy() (stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f.proxy = "http://" + ln.Addr().String()
	srv := &http.Server{Handler: tunnel.To("localhost:443", f.address), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	return func() {
		_ = srv.Close()
		<-served
	}, nil
}

// follow takes what happens until a condition holds.
func (f *fair) follow(ctx context.Context, until func() bool, read ...func()) error {
	for !until() {
		select {
		case h := <-f.events:
			if h.Event == eventRead {
				read[0]()
				continue
			}
			if err := f.take(ctx, h); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// take shows what has happened, kills, and starts again.
func (f *fair) take(ctx context.Context, h happening) error {
	p := h.from
	switch h.Event {
	case eventSays:
		f.out.says(p.name, h.Text)
	case eventReady:
		p.ready, p.url = true, h.Text
		p.address = strings.TrimSuffix(strings.TrimPrefix(h.Text, "ws://"), "/ws")
		return f.announce(ctx, p.name, p.url)
	case eventHome:
		p.home = true
	case eventHalts:
		f.out.show("%s\n", killedLine(p.name))
		return p.cmd.Process.Kill()
	case eventEnded:
		p.cmd = nil
		if f.ending {
			return nil
		}
		if p.starts >= maxStarts {
			return fmt.Errorf("%s has ended %d times: %s", p.name, p.starts, h.Text)
		}
		f.out.show("%-8s--- %s; started again ---\n", p.name, h.Text)
		return f.start(p)
	}
	return nil
}

func killedLine(name string) string {
	return fmt.Sprintf("%-8s--- killed in the middle of it (SIGKILL) ---", name)
}

// patience is how long processes may take to end by themselves.
const patience = 5 * time.Second

// end ends all processes and waits for them.
func (f *fair) end() {
	f.ending = true
	for _, p := range f.stalls {
		if p.cmd != nil {
			_ = p.stdin.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	gone := func() bool {
		for _, p := range f.stalls {
			if p.cmd != nil {
				return false
			}
		}
		return true
	}
	if f.follow(ctx, gone) == nil {
		return
	}
	for _, p := range f.stalls {
		if p.cmd != nil {
			_ = p.cmd.Process.Kill()
		}
	}
	_ = f.follow(context.Background(), gone)
}
