//go:build !unix

package main

// resizes tells nothing here: the next frame has the new size.
func resizes() (resized <-chan struct{}, stop func()) { return nil, func() {} }
