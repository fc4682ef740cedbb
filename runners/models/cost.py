"""What things cost, as an admin entered it: rates, machines, and whose a repository is."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q


class CostModel(models.Model):
    """The one row of rates; read it through `runners.accounts`. Prices not named are the shipped.

    The charge is GitHub's for a self-hosted minute: announced, postponed, and so 0 until it comes.
    """

    per_kwh = models.DecimalField(max_digits=8, decimal_places=4, default="0.30")
    charge_per_minute = models.DecimalField(max_digits=8, decimal_places=4, default=0)
    # SKU -> price a minute; architecture -> price of a core's hour; pool -> SKU it is compared with
    prices = models.JSONField(default=dict, blank=True)
    cloud_per_core_hour = models.JSONField(default=dict, blank=True)
    pool_skus = models.JSONField(default=dict, blank=True)
    prices_dated = models.DateField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(per_kwh__gte=0) & Q(charge_per_minute__gte=0),
                name="cost_model_not_negative",
            ),
        )

    def __str__(self) -> str:
        return f"{self.per_kwh} a kWh"


class HostCost(models.Model):
    """What one machine cost and costs; one without a row has no price."""

    host = models.OneToOneField(
        "runners.Host", on_delete=models.CASCADE, related_name="cost", primary_key=True
    )
    purchase = models.DecimalField(
        max_digits=12, decimal_places=2, validators=[MinValueValidator(0)]
    )
    months = models.PositiveSmallIntegerField(default=36)
    bought_on = models.DateField(null=True, blank=True)
    watts_idle = models.DecimalField(max_digits=8, decimal_places=1, default=0)
    watts_busy = models.DecimalField(max_digits=8, decimal_places=1, default=0)
    rack_a_month = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    hands_a_month = models.DecimalField(max_digits=10, decimal_places=2, default=0)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(months__gte=1), name="host_cost_months"),
            models.CheckConstraint(
                condition=Q(purchase__gte=0)
                & Q(watts_idle__gte=0)
                & Q(watts_busy__gte=0)
                & Q(rack_a_month__gte=0)
                & Q(hands_a_month__gte=0),
                name="host_cost_not_negative",
            ),
        )

    def __str__(self) -> str:
        return f"{self.purchase} over {self.months} months"


class RepositoryPayer(models.Model):
    """What is known of a repository besides its jobs: the team that pays, and who may see it."""

    name = models.CharField(max_length=200, unique=True)
    team = models.CharField(max_length=100, blank=True, default="")
    public = models.BooleanField(default=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
