package server

import (
	"fmt"
	"testing"
	"time"
)

func TestLimiterLetsABurstThroughAndThenARate(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(Rate{Requests: 10, Per: time.Second}, c.now)
	passed := func(n int) (ok int) {
		for range n {
			if l.take("a") == 0 {
				ok++
			}
		}
		return ok
	}
	if got := passed(20); got != 10 {
		t.Fatalf("burst of %d", got)
	}
	c.advance(250 * time.Millisecond)
	if got := passed(20); got != 2 {
		t.Fatalf("%d after a quarter of the period", got)
	}
	c.advance(time.Hour)
	if got := passed(20); got != 10 {
		t.Fatalf("%d after an hour", got)
	}
}

func TestLimiterSurvivesAClockPutBack(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(Rate{Requests: 10, Per: time.Second}, c.now)
	l.take("a")
	c.advance(-time.Hour)
	if wait := l.take("a"); wait > 100*time.Millisecond {
		t.Fatalf("has to wait %v", wait)
	}
	c.advance(time.Second)
	if wait := l.take("a"); wait > 0 {
		t.Fatalf("has to wait %v", wait)
	}
}

func TestLimiterIsBoundedAndStillLimitsWhenFull(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(Rate{Requests: 10, Per: time.Minute}, c.now)
	for i := range maxKeys {
		l.take(fmt.Sprint(i))
	}
	passed := 0
	for i := range 100 {
		if l.take(fmt.Sprint("late ", i)) == 0 {
			passed++
		}
	}
	if passed != 10 || len(l.full) > maxKeys+1 {
		t.Fatalf("%d passed, %d keys", passed, len(l.full))
	}
	c.advance(time.Minute)
	if wait := l.take("later"); wait > 0 || len(l.full) > 2 {
		t.Fatalf("has to wait %v, %d keys", wait, len(l.full))
	}
}

func TestNegativeRateIsNoLimit(t *testing.T) {
	t.Parallel()
	l := newLimiter(Rate{Requests: -1}, time.Now)
	for range 1000 {
		if l.take("a") > 0 {
			t.Fatal("limited")
		}
	}
}

func TestAddressesAreCountedByNetwork(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.1:80":             "192.0.2.1",
		"[::ffff:192.0.2.1]:80":    "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":         "fe80::/64",
		"pipe":                     "pipe",
		"name:80":                  "name",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("%s is counted as %q, want %q", remote, got, want)
		}
	}
}
