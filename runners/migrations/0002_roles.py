"""Make the four groups that are the roles; what each may do is in runners.access."""

from django.db import migrations

ROLES = ("viewer", "auditor", "operator", "admin")


def make_groups(apps, schema_editor):
    group = apps.get_model("auth", "Group")
    for role in ROLES:
        group.objects.get_or_create(name=role)


class Migration(migrations.Migration):
    dependencies = [
        ("runners", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    # Backwards nothing: people may hold the groups
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
