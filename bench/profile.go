package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pando-agents/pando/bench/load"
)

// profileWindow is for how long a server is profiled, in whole seconds.
const profileWindow = 4 * time.Second

// profile measures once more, with a profile of the server's processor time in
// the middle of the window, or of its heap for idle channels. Nothing of it
// goes into the figures: a profile costs something too.
func (r *runner) profile(ctx context.Context, c benchCase, s *server) error {
	if s.ready.Control == "" || c.once {
		return nil
	}
	if err := os.MkdirAll(r.profiles, 0o755); err != nil {
		return err
	}
	file := filepath.Join(r.profiles, s.kind.name+"-"+fileName(c.name)+".pprof")
	if c.fresh {
		return r.profileIdle(ctx, s.kind, file)
	}
	p := r.plan
	p.window = profileWindow + time.Second
	taken := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	path := fmt.Sprintf("/debug/pprof/profile?seconds=%.0f", profileWindow.Seconds())
	start := time.AfterFunc(p.warmup, func() {
		taken <- load.Fetch(ctx, s.ready.Control+path, file)
	})
	_, err := c.measure(ctx, s, p)
	if start.Stop() {
		return errors.Join(err, errors.New("the load ended before the profile began"))
	}
	return errors.Join(err, <-taken)
}

// profileIdle profiles the heap of a fresh server while it holds channels. It
// samples more than the usual, which makes it slower and larger.
func (r *runner) profileIdle(ctx context.Context, k kind, file string) error {
	s, err := startServer(ctx, k, "GODEBUG=memprofilerate=8192")
	if err != nil {
		return err
	}
	defer s.stop()
	var report load.IdleReport
	return s.runLoad(ctx, &report, "idle", "--channels", strconv.Itoa(r.plan.idleChannels),
		"--heartbeat", profileWindow.String(), "--heap", file)
}

// fileName is a case's name without what file names should not have.
func fileName(name string) string {
	return strings.NewReplacer(" × ", "x", ", ", "-", " ", "").Replace(name)
}
