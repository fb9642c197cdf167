//go:build unix

package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// rawConn returns the means to do system calls on nc, or nil. Only the exact
// types of package net will do: a type that embeds one would be bypassed.
func rawConn(nc net.Conn) syscall.RawConn {
	var rc syscall.RawConn
	var err error
	switch c := nc.(type) {
	case *net.TCPConn:
		rc, err = c.SyscallConn()
	case *net.UnixConn:
		rc, err = c.SyscallConn()
	}
	if err != nil {
		return nil
	}
	return rc
}

// errAgain means that a system call would have blocked.
var errAgain = errors.New("would block")

// readFD reads once without blocking; the end of the stream is io.EOF.
func readFD(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, errAgain
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n <= 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// writeFD writes until all is written, an error, or errAgain.
func writeFD(fd uintptr, p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := syscall.Write(int(fd), p[done:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return done, errAgain
		case err != nil:
			return done, os.NewSyscallError("write", err)
		default:
			done += n
		}
	}
	return done, nil
}

// rawWrite is the state of one write through a RawConn. It is pooled with its
// callback, because a closure for each write would be garbage.
type rawWrite struct {
	p        []byte
	n        int
	err      error
	progress func() // nil: do not wait
	callback func(fd uintptr) bool
}

var rawWrites = sync.Pool{New: func() any {
	w := new(rawWrite)
	w.callback = w.write
	return w
}}

func (w *rawWrite) write(fd uintptr) bool {
	var n int
	n, w.err = writeFD(fd, w.p[w.n:])
	w.n += n
	if w.progress == nil || w.err != errAgain {
		return true
	}
	if n > 0 {
		w.progress()
	}
	return false
}

// writeRaw writes p to rc. With progress nil it does not wait and returns errAgain
// when the socket takes no more; else it waits, and calls progress whenever the
// socket has taken a part.
func writeRaw(rc syscall.RawConn, p []byte, progress func()) (int, error) {
	w := rawWrites.Get().(*rawWrite)
	w.p, w.n, w.err, w.progress = p, 0, nil, progress
	err := rc.Write(w.callback)
	if err == nil {
		err = w.err
	}
	n := w.n
	w.p, w.progress, w.err = nil, nil, nil
	rawWrites.Put(w)
	return n, err
}
