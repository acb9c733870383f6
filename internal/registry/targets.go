package registry

type pileCounts struct{}
