//go:build !unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// errAgain means that a system call would have blocked.
var errAgain = errors.New("would block")

// rawConn returns nil: non-blocking system calls on sockets are Unix only.
func rawConn(net.Conn) syscall.RawConn { return nil }

func readFD(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeRaw(syscall.RawConn, []byte, func()) (int, error) { return 0, errors.ErrUnsupported }
