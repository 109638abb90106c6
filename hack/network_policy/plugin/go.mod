module network-policy

go 1.22
