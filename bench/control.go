package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/pando-agents/pando/bench/load"
)

// serveControl lets the measuring side look into a server process of this
// program: profiles, and what its memory is once garbage is collected. It is
// a listener of its own, the same for every kind of server, and has nothing to
// do unless it is asked. It returns its base URL and a function to stop it.
func serveControl() (base string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET "+load.MemoryPath, memory)
	mux.HandleFunc("POST "+load.MemoryPath, settle)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() { _ = srv.Close() }, nil
}

// settle collects all garbage, gives free pages back to the system, and says
// what is left. Pools keep what they hold for one more collection, and stacks
// shrink by half in each.
func settle(w http.ResponseWriter, r *http.Request) {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	memory(w, r)
}

// memory says what the Go runtime knows about the memory of this process.
func memory(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(load.Runtime{
		Heap: m.HeapAlloc, HeapInUse: m.HeapInuse, Stacks: m.StackInuse,
		Other:      m.MSpanInuse + m.MCacheInuse + m.BuckHashSys + m.GCSys + m.OtherSys,
		Goroutines: runtime.NumGoroutine(),
	})
}
