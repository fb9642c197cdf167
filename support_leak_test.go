package pando_test

import (
	"bufio"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
)

// goroutines returns the stacks of the goroutines that a test has started, and
// that have a function whose name contains within; one element for each.
func goroutines(test, within string) []string {
	var b strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	var found []string
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if !strings.Contains(stack, fmt.Sprintf("%q:%q", "test", test)) || !strings.Contains(stack, within) {
			continue
		}
		count, _, _ := strings.Cut(stack[strings.LastIndex(stack[:strings.Index(stack, " @")], "\n")+1:], " @")
		n, _ := strconv.Atoi(count)
		for range n {
			found = append(found, stack)
		}
	}
	return found
}

// sockets counts the TCP sockets of this process that have one of these ports
// at either end. Where there is no /proc it finds none.
func sockets(ports map[string]bool) int {
	own := map[string]bool{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return 0
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sl local_address rem_address st queues timer retrnsmt uid timeout inode
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && own[fields[9]] && (ports[port(fields[1])] || ports[port(fields[2])]) {
			n++
		}
	}
	return n
}

// port reads the port of an address such as 0100007F:1F90.
func port(hex string) string {
	_, hex, _ = strings.Cut(hex, ":")
	n, _ := strconv.ParseUint(hex, 16, 16)
	return strconv.FormatUint(n, 10)
}
