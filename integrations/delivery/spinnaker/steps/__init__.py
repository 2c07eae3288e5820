"""The steps of plans that Spinnaker knows, a file each."""
