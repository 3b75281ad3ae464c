"""Events that say that a shipment group is complete, as warehouse systems send them. They are read strictly."""
