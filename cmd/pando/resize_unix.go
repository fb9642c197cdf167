//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// resizes tells when the size of the terminal has changed.
func resizes() (resized <-chan struct{}, stop func()) {
	signals, told, quit := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-signals:
			case <-quit:
				return
			}
			select {
			case told <- struct{}{}:
			case <-quit:
				return
			}
		}
	}()
	return told, func() { signal.Stop(signals); close(quit) }
}
