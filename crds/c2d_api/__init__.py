"""The contract that operator, provider and pods share: resources, workspace, exits, addresses."""
