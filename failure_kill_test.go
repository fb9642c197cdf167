package pando_test

const peerRole = "PANDO_TEST_PEER"

func peerMain() {}
