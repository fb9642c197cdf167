package proc

import (
	"os"
	"testing"
	"time"
)

func TestProcessorTimeIsUserAndSystemTogether(t *testing.T) {
	t.Parallel()
	line := "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 1234 66 13 14 20 0 5"
	if got, err := parseStat([]byte(line)); err != nil || got != 13*time.Second {
		t.Errorf("read %v, %v, want 13s", got, err)
	}
	for _, bad := range []string{"", "42 (a) S 1", "42 (a) S 1 2 3 4 5 6 7 8 9 10 x 66"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func TestProcessorTimeOfABusyProcessGrows(t *testing.T) {
	t.Parallel()
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Ends only when it is true; a test that hangs has failed.
	for after := before; after <= before; {
		if after, err = CPU(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemoryIsReadInBytes(t *testing.T) {
	t.Parallel()
	got, err := parseRollup([]byte("00400000-7fff ---p 00000000 00:00 0    [rollup]\nRss:     20 kB\nPss:   10 kB\nPss_Anon: 1 kB\nAnonymous: 8 kB\n"))
	if want := (Memory{RSS: 20480, PSS: 10240, Anonymous: 8192}); err != nil || got != want {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseRollup([]byte("Rss: 20 kB\n")); err == nil {
		t.Error("an incomplete file was taken")
	}
}

func TestMemoryOfThisProcessIsPlausible(t *testing.T) {
	t.Parallel()
	m, err := Resident(os.Getpid())
	if err != nil || m.RSS < 1<<20 || m.PSS > m.RSS || m.Anonymous > m.RSS {
		t.Errorf("read %+v, %v", m, err)
	}
}

func TestProcessThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	const none = 1 << 30 // above the highest process id of Linux
	if _, err := CPU(none); err == nil {
		t.Error("processor time was read")
	}
	if _, err := Resident(none); err == nil {
		t.Error("memory was read")
	}
}
