module github.com/pando-agents/pando/bench

go 1.26.0

// The library under test is the one in this checkout.
replace github.com/pando-agents/pando => ../

require github.com/lxzan/gws v1.9.1

require (
	github.com/klauspost/compress v1.17.9 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
