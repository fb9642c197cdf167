// Package proc reads what a process has used from /proc (Linux only).
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on
// every Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPU returns the processor time, user and system, of all threads of a
// process since it started. Its resolution is 10 ms.
func CPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("reading processor time: %w", err)
	}
	return parseStat(b)
}

func parseStat(b []byte) (time.Duration, error) {
	// The command name, in parentheses, may hold spaces and parentheses.
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	// utime and stime are fields 14 and 15 of proc_pid_stat(5); the first one
	// after the name is field 3.
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("reading processor time: malformed stat line %q", b)
	}
	var sum int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading processor time: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// Memory is what a process keeps resident, in bytes.
type Memory struct {
	// RSS counts every resident page.
	RSS int64 `json:"rss"`
	// PSS counts a page shared by n processes as a n-th of a page.
	PSS int64 `json:"pss"`
	// Anonymous counts the pages that are no file's: heap and stacks.
	Anonymous int64 `json:"anonymous"`
}

// Resident returns the resident memory of a process. It is exact, unlike
// VmRSS in /proc/PID/status, which newer kernels estimate.
func Resident(pid int) (Memory, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return Memory{}, fmt.Errorf("reading resident memory: %w", err)
	}
	return parseRollup(b)
}

func parseRollup(b []byte) (Memory, error) {
	var m Memory
	want := map[string]*int64{"Rss:": &m.RSS, "Pss:": &m.PSS, "Anonymous:": &m.Anonymous}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 || want[f[0]] == nil {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("reading resident memory: %w", err)
		}
		*want[f[0]] = kib * 1024
		delete(want, f[0])
	}
	if len(want) > 0 {
		return Memory{}, fmt.Errorf("reading resident memory: incomplete %q", b)
	}
	return m, nil
}
